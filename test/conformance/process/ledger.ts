import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs'
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

/** What processes did, on disk before it goes on: it outlives the process that is killed the moment after. */
export class Ledger {
  readonly path: string

  constructor (path = join(tmpdir(), `ledger-${randomBytes(8).toString('hex')}`)) {
    this.path = path
  }

  append (line: Omit<LedgerLine, 'pid' | 'at'>): void {
    const file = openSync(this.path, 'a')
    try {
      // One write of a short line: lines of several processes do not mix.
      writeSync(file, `${JSON.stringify({ ...line, pid: process.pid, at: Date.now() })}\n`)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
  }

  lines (event?: LedgerLine['event']): LedgerLine[] {
    let text: string
    try {
      text = readFileSync(this.path, 'utf8')
    } catch {
      return []
    }
    // What follows the last line feed is being written.
    const lines = text.split('\n').slice(0, -1).map((line) => JSON.parse(line) as LedgerLine)
    return event === undefined ? lines : lines.filter((line) => line.event === event)
  }

  async remove (): Promise<void> {
    await rm(this.path, { force: true })
  }
}
