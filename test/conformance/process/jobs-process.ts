import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { DeadLetter, EnqueueOptions, EnqueuedJob, JobsStatus, JobView } from '../../../lib/index.ts'
import { inTime } from '../until.ts'
import type { Answer, Call, Commands, JobName, JobToSend } from './commands.ts'
import type { ProcessSettings } from './settings.ts'

// Beside this file, compiled or not as it is.
const PROGRAM = fileURLToPath(new URL(`./child${extname(import.meta.url)}`, import.meta.url))

// Node's own place for it. Without a cache each process would compile, or strip of its types, all of the library anew.
const COMPILE_CACHE = process.env.NODE_COMPILE_CACHE ?? join(tmpdir(), 'node-compile-cache')

/** A process for an app, which can be killed, stopped and continued. It keeps its parent alive only while that waits for an answer. */
export class JobsProcess implements Omit<Commands, 'enqueue'> {
  readonly #child: ChildProcess
  readonly #calls = new Map<number, { resolve (result: any): void, reject (error: Error): void }>()
  readonly #exited: Promise<unknown[]>
  #count = 0
  #output = ''
  #signalled = false

  constructor (child: ChildProcess) {
    this.#child = child
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => { this.#output += text })
      ;(stream as Socket).unref()
    }
    child.unref()
    child.channel!.unref()
    this.#exited = once(child, 'close')
    this.#exited.then(() => this.#rejectAll())
    child.on('message', (answer) => this.#settle(answer as Answer))
  }

  get pid (): number {
    return this.#child.pid!
  }

  /** What it printed. */
  get output (): string {
    return this.#output
  }

  start (settings: ProcessSettings): Promise<void> {
    return this.#call('start', settings)
  }

  enqueue (job: JobName, payload?: unknown, options?: Omit<EnqueueOptions, 'signal'>): Promise<EnqueuedJob> {
    return this.#call('enqueue', { job, payload, ...options })
  }

  enqueueEach (jobs: readonly JobToSend[]): Promise<EnqueuedJob[]> {
    return this.#call('enqueueEach', jobs)
  }

  enqueueMany (jobs: readonly JobToSend[]): Promise<EnqueuedJob[]> {
    return this.#call('enqueueMany', jobs)
  }

  /** Rejects when the process ends. */
  enqueueForEver (job: JobToSend): Promise<void> {
    return this.#call('enqueueForEver', job)
  }

  /** Rejects when the process ends. */
  enqueueManyForEver (jobs: readonly JobToSend[]): Promise<void> {
    return this.#call('enqueueManyForEver', jobs)
  }

  get (id: string): Promise<JobView | undefined> {
    return this.#call('get', id)
  }

  cancel (id: string): Promise<boolean> {
    return this.#call('cancel', id)
  }

  resume (): Promise<void> {
    return this.#call('resume')
  }

  status (): Promise<JobsStatus> {
    return this.#call('status')
  }

  idle (): Promise<void> {
    return this.#call('idle')
  }

  lateTicks (): Promise<number> {
    return this.#call('lateTicks')
  }

  stalled (): Promise<number> {
    return this.#call('stalled')
  }

  deadLetters (): Promise<DeadLetter[]> {
    return this.#call('deadLetters')
  }

  retry (id: string): Promise<boolean> {
    return this.#call('retry', id)
  }

  release (): Promise<void> {
    return this.#call('release')
  }

  close (): Promise<void> {
    return this.#call('close')
  }

  leave (): Promise<void> {
    return this.#call('leave')
  }

  /** Nothing was done to it from outside. */
  get intact (): boolean {
    return !this.#signalled && this.#child.connected
  }

  /** Exit code, or the signal that ended it, once it has ended. */
  async exit (): Promise<number | string> {
    const [code, signal] = await inTime('the process ended', this.#exited) as [number | null, string | null]
    return code ?? signal!
  }

  /** SIGKILL: nothing of it runs afterwards. */
  async kill (): Promise<void> {
    this.#signal('SIGKILL')
    await this.exit()
  }

  /** SIGSTOP: it stands still, its connections stay open. */
  stop (): void {
    this.#signal('SIGSTOP')
  }

  /** SIGCONT. */
  continue (): void {
    this.#signal('SIGCONT')
  }

  #signal (signal: NodeJS.Signals): void {
    this.#signalled = true
    this.#child.kill(signal)
  }

  #call (command: keyof Commands, argument?: unknown): Promise<any> {
    return new Promise((resolve, reject) => {
      const call: Call = { call: ++this.#count, command, argument }
      this.#calls.set(call.call, { resolve, reject })
      this.#child.channel?.ref()
      this.#child.send(call, (error) => { if (error !== null) this.#settle({ call: call.call, error }) })
    })
  }

  #settle ({ call, result, error }: Answer): void {
    const waiting = this.#calls.get(call)
    if (waiting === undefined) return
    this.#calls.delete(call)
    if (this.#calls.size === 0) this.#child.channel?.unref()
    if (error === undefined) waiting.resolve(result)
    else waiting.reject(Object.assign(new Error(error.message), { code: error.code }))
  }

  #rejectAll (): void {
    for (const call of this.#calls.keys()) this.#settle({ call, error: { message: `the process has ended: ${this.#output}` } })
  }
}

/** A process that has loaded the target, whose module that is, and waits for `start`. */
export async function spawnProcess (target: string): Promise<JobsProcess> {
  const child = fork(PROGRAM, [target], {
    // Where Node runs TypeScript by itself, tap's loader would only take time.
    execArgv: process.execArgv.filter((flag) => !(process.features.typescript && flag.includes('@tapjs'))),
    // Values such as undefined arrive as they are.
    serialization: 'advanced',
    // tap would add up the coverage of two ways to compile.
    env: { ...process.env, NODE_COMPILE_CACHE: COMPILE_CACHE, _TAPJS_PROCESSINFO_COVERAGE_: '0' },
    silent: true
  })
  const spawned = new JobsProcess(child)
  const ended = once(child, 'close').then(() => { throw new Error(`the process ended: ${spawned.output}`) })
  await inTime('the process has loaded', Promise.race([once(child, 'message'), ended]))
  return spawned
}

/** A process with its app ready. */
export async function startProcess (target: string, settings: ProcessSettings): Promise<JobsProcess> {
  const started = await spawnProcess(target)
  await started.start(settings)
  return started
}
