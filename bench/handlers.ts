import { setImmediate } from 'node:timers'
import type { Tally } from './tally.ts'

/** What every contender runs for a job. */
export type Handler = (payload: unknown) => Promise<void>

export const handlers: Record<string, (tally: Tally) => Handler> = {
  null: (tally) => async () => {
    await null
    tally.add()
  },
  setImmediate: (tally) => async () => {
    await new Promise((resolve) => setImmediate(resolve))
    tally.add()
  }
}
