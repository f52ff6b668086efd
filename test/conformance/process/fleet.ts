import { inTime } from '../until.ts'
import { spawnProcess, type JobsProcess } from './jobs-process.ts'

/** Processes that have done with one case and can serve another one: starting them takes longest. */
export class Fleet {
  readonly #target: string
  readonly #idle: JobsProcess[] = []

  constructor (target: string) {
    this.#target = target
  }

  async take (): Promise<JobsProcess> {
    return this.#idle.pop() ?? spawnProcess(this.#target)
  }

  /** Takes it back with its app closed; what was signalled goes. */
  async giveBack (process: JobsProcess): Promise<void> {
    if (process.intact && await closed(process)) this.#idle.push(process)
    else await process.kill()
  }
}

async function closed (process: JobsProcess): Promise<boolean> {
  try {
    await process.release()
    await inTime('its app has closed', process.close())
    return true
  } catch {
    return false
  }
}
