import { randomBytes } from 'node:crypto'
import { appendFileSync, closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface LedgerLine {
  /** 'acknowledged': an enqueue of the process resolved. 'aborted': the handler's signal told it to stop. */
  readonly event: 'start' | 'end' | 'aborted' | 'acknowledged'
  /** The process. */
  readonly pid: number
  /** Milliseconds since the epoch. */
  readonly at: number
  /** The job's id. */
  readonly id: string
  readonly attempt?: number
  readonly payload?: unknown
  /** When the tick was due that enqueued the job. */
  readonly tick?: number
}

/** What processes did, in a file before it goes on: it outlives the process that is killed the moment after. */
export class Ledger {
  readonly path: string
  /** What was read so far; of a file that grows, only what is new is read. */
  readonly #lines: LedgerLine[] = []
  #bytesRead = 0

  constructor (path = join(tmpdir(), `ledger-${randomBytes(8).toString('hex')}`)) {
    this.path = path
  }

  append (line: Omit<LedgerLine, 'pid' | 'at'>): void {
    // One write of a short line: lines of several processes do not mix. It is not synced: what a killed process wrote stays with the system.
    appendFileSync(this.path, `${JSON.stringify({ ...line, pid: process.pid, at: Date.now() })}\n`)
  }

  lines (event?: LedgerLine['event']): LedgerLine[] {
    this.#readOn()
    return this.#lines.filter((line) => event === undefined || line.event === event)
  }

  /** How many lines there are: it grows with everything that the processes do. */
  get length (): number {
    this.#readOn()
    return this.#lines.length
  }

  async remove (): Promise<void> {
    await rm(this.path, { force: true })
  }

  #readOn (): void {
    let file: number
    try {
      file = openSync(this.path, 'r')
    } catch {
      return
    }
    try {
      const bytes = Buffer.alloc(fstatSync(file).size - this.#bytesRead)
      readSync(file, bytes, 0, bytes.length, this.#bytesRead)
      // What follows the last line feed is being written.
      const end = bytes.lastIndexOf('\n') + 1
      for (const line of bytes.toString('utf8', 0, end).split('\n').slice(0, -1)) this.#lines.push(JSON.parse(line) as LedgerLine)
      this.#bytesRead += end
    } finally {
      closeSync(file)
    }
  }
}
