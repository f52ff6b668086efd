import { KeepAlive } from './keep-alive.ts'

const holds = new Set<WorkHold>()

function checkAll (): void {
  for (const hold of holds) hold.check()
}

/**
 * Keeps the process alive while an app works on something, though it listens on no port: its timers would let the process end. Looks when
 * nothing else keeps the process alive, so that it costs jobs nothing.
 */
export class WorkHold {
  readonly #isWorking: () => boolean
  readonly #keepAlive: KeepAlive

  constructor (isWorking: () => boolean) {
    this.#isWorking = isWorking
    this.#keepAlive = new KeepAlive(isWorking)
  }

  begin (): void {
    // One listener for all apps of the process.
    if (holds.size === 0) process.on('beforeExit', checkAll)
    holds.add(this)
  }

  check (): void {
    if (this.#isWorking()) this.#keepAlive.hold()
  }

  end (): void {
    if (holds.delete(this) && holds.size === 0) process.off('beforeExit', checkAll)
    this.#keepAlive.release()
  }
}
