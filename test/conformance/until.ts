import { setTimeout } from 'node:timers/promises'

const POLLED_EVERY = 5

export interface Wait {
  /** Milliseconds without progress after which the wait was in vain. Default: CONFORMANCE_DEADLINE of the environment, or a minute. */
  readonly patience?: number
  /** Changes as long as what is waited for comes nearer. Absent: nothing tells that before it is there. */
  readonly progress?: () => unknown
}

/** Generous: machines are busy. */
function usualPatience (): number {
  return Number(process.env.CONFORMANCE_DEADLINE ?? 60_000)
}

/**
 * Waits until the condition gives something else than false, null or undefined, and resolves to that. A wait that makes progress
 * takes as long as it takes: how long that is says something about the machine only.
 */
export async function until<T> (
  what: string, condition: () => T | Promise<T>, { patience = usualPatience(), progress = () => undefined }: Wait = {}
): Promise<Exclude<T, false | null | undefined>> {
  let reached: unknown
  let movedAt = performance.now()
  for (;;) {
    const answer = await condition()
    if (answer !== false && answer !== undefined && answer !== null) return answer as Exclude<T, false | null | undefined>
    const now = await progress()
    if (now !== reached) [reached, movedAt] = [now, performance.now()]
    if (performance.now() - movedAt > patience) throw new Error(`waited ${patience} ms in vain until ${what}${reached === undefined ? '' : `, it stands at ${reached}`}`)
    await setTimeout(POLLED_EVERY)
  }
}

/** Waits until there are so many, for as long as there come more. */
export async function untilThereAre (count: number, what: string, counted: () => number): Promise<void> {
  await until(`${count} ${what}`, () => counted() >= count, { progress: counted })
}

/** What a promise settles to; rejects when that takes too long. */
export async function inTime<T> (what: string, promise: Promise<T>, wait?: Wait): Promise<T> {
  let isSettled = false
  const settled = promise.finally(() => { isSettled = true })
  const watched = until(what, () => isSettled, wait)
  return Promise.race([settled, watched.then(() => settled)])
}
