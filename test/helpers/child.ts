import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'

// Node 20 runs no TypeScript by itself: the children get the loader that this test was started with.
const TYPESCRIPT_LOADER = process.execArgv.filter((flag) => flag.includes('@tapjs/typescript'))
const LIB = new URL('../../lib/index.ts', import.meta.url).href

/** Runs `body` in a process of its own, which has to end by itself. `flags`: of Node.js. `wrapper`: a command that runs another one. */
export async function runChild (
  body: string, { flags = [], wrapper = [] }: { flags?: readonly string[], wrapper?: readonly string[] } = {}
): Promise<{ code: number | null, signal: string | null, output: string }> {
  const source = `import Fastify from 'fastify'; import backgroundJobs, { poll } from '${LIB}'; const app = Fastify();${body}`
  const [command, ...args] = [...wrapper, process.execPath, ...TYPESCRIPT_LOADER, ...flags, '--input-type=module', '-e', source]
  const child = spawn(command!, args, {
    cwd: new URL('../..', import.meta.url), stdio: ['ignore', 'pipe', 'pipe']
  })
  const killer = setTimeout(() => child.kill('SIGKILL'), 30_000)
  const [[code, signal], out, err] = await Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)])
  clearTimeout(killer)
  return { code, signal, output: out + err }
}
