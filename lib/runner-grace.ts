import { parseArgs } from 'node:util'

/** Milliseconds that `fastify start` waits for a close by default. */
const FASTIFY_CLI_GRACE = 500

export interface RunnerGrace {
  readonly runner: string
  /** Milliseconds. */
  readonly grace: number
  readonly option: string
}

/** How long the program that runs this process lets it close, where that can be told: then it ends the process, whatever runs. */
export function runnerGrace (argv: readonly string[] = process.argv, env: NodeJS.ProcessEnv = process.env): RunnerGrace | undefined {
  const [, script = '', ...args] = argv
  if (!/[\\/](fastify-cli[\\/]|\.bin[\\/]fastify$)|[\\/]bin[\\/]fastify$/.test(script)) return undefined
  const { values } = parseArgs({ args, options: { 'close-grace-delay': { type: 'string', short: 'g' } }, strict: false, allowPositionals: true })
  const given = values['close-grace-delay'] ?? env.FASTIFY_CLOSE_GRACE_DELAY
  const grace = typeof given === 'string' ? Number(given) : NaN
  return { runner: 'fastify start', grace: Number.isFinite(grace) ? grace : FASTIFY_CLI_GRACE, option: '--close-grace-delay' }
}
