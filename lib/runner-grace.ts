/** Milliseconds that `fastify start` waits for a close by default. */
const FASTIFY_CLI_GRACE = 500

/**
 * Milliseconds after which `fastify start` ends a process that it has told to stop, whatever runs, as far as the environment tells: it takes its
 * arguments out of `process.argv`. Undefined under another runner.
 */
export function runnerGrace (argv: readonly string[] = process.argv, env: NodeJS.ProcessEnv = process.env): number | undefined {
  const [, script = ''] = argv
  if (!/[\\/](fastify-cli[\\/]|\.bin[\\/]fastify$)|[\\/]bin[\\/]fastify$/.test(script)) return undefined
  const given = Number(env.FASTIFY_CLOSE_GRACE_DELAY ?? NaN)
  return Number.isFinite(given) ? given : FASTIFY_CLI_GRACE
}
