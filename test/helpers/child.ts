import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inTime } from '../conformance/until.ts'

export const root = join(import.meta.dirname, '../..')

/**
 * For a child whose types Node.js strips: tap compiles them here, and coverage of the two cannot be added up. Without the cache
 * each child would strip and compile all of the library anew.
 */
export const plainEnv = { PATH: process.env.PATH, _TAPJS_PROCESSINFO_COVERAGE_: '0', NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(tmpdir(), 'node-compile-cache') }

// Node 20 runs no TypeScript by itself: the children get the loader that this test was started with.
const TYPESCRIPT_LOADER = process.execArgv.filter((flag) => flag.includes('@tapjs/typescript'))
const LIB = new URL('../../lib/index.ts', import.meta.url).href

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly out: string
  readonly err: string
}

/** What a process, with pipes, has printed once it has ended; it is killed when nothing comes of it for long. */
export async function ended (child: ChildProcess): Promise<Ended> {
  const printed = { out: '', err: '' }
  child.stdout!.setEncoding('utf8').on('data', (text: string) => { printed.out += text })
  child.stderr!.setEncoding('utf8').on('data', (text: string) => { printed.err += text })
  try {
    const [code, signal] = await inTime('the process has ended', once(child, 'close'), { progress: () => printed.out.length + printed.err.length }) as [number | null, NodeJS.Signals | null]
    return { code, signal, ...printed }
  } finally {
    child.kill('SIGKILL')
  }
}

export interface ChildOptions {
  /** Of Node.js. */
  readonly flags?: readonly string[]
  /** A command that runs another one. */
  readonly wrapper?: readonly string[]
  /** What only the child does counts as covered: takes a second longer, since tap's loader compiles all of the library for it. */
  readonly isCovered?: boolean
}

/** A process that runs `source`, a module, which may import TypeScript. */
export function spawnModule (source: string, { flags = [], wrapper = [], isCovered = false }: ChildOptions = {}): ChildProcess {
  const isPlain = process.features.typescript && !isCovered
  const [command, ...args] = [
    ...wrapper, process.execPath, ...(isPlain ? ['--disable-warning=ExperimentalWarning'] : TYPESCRIPT_LOADER), ...flags, '--input-type=module', '-e', source
  ]
  return spawn(command!, args, { cwd: root, env: { ...process.env, ...(isPlain && plainEnv) }, stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Runs `body` in a process of its own, with an `app`, which has to end by itself. */
export async function runChild (body: string, options: ChildOptions = {}): Promise<{ code: number | null, signal: string | null, output: string }> {
  const source = `import Fastify from 'fastify'; import backgroundJobs, { poll } from '${LIB}'; const app = Fastify();${body}`
  const { code, signal, out, err } = await ended(spawnModule(source, { isCovered: true, ...options }))
  return { code, signal, output: out + err }
}
