import { setTimeout } from 'node:timers/promises'

const POLLED_EVERY = 5

/**
 * Milliseconds after which something that was waited for does not come any more. Generous: machines are busy. The environment
 * variable CONFORMANCE_DEADLINE says otherwise.
 */
function usualDeadline (): number {
  return Number(process.env.CONFORMANCE_DEADLINE ?? 20_000)
}

/** Waits until the condition gives something else than false, null or undefined, and resolves to that. */
export async function until<T> (what: string, condition: () => T | Promise<T>, deadline = usualDeadline()): Promise<Exclude<T, false | null | undefined>> {
  const end = performance.now() + deadline
  for (;;) {
    const answer = await condition()
    if (answer !== false && answer !== undefined && answer !== null) return answer as Exclude<T, false | null | undefined>
    if (performance.now() > end) throw new Error(`waited ${deadline} ms in vain until ${what}`)
    await setTimeout(POLLED_EVERY)
  }
}

/** What a promise settles to; rejects when that takes too long. */
export async function inTime<T> (what: string, promise: Promise<T>, deadline = usualDeadline()): Promise<T> {
  const abandon = new AbortController()
  const late = setTimeout(deadline, undefined, { signal: abandon.signal }).then(() => {
    throw new Error(`waited ${deadline} ms in vain until ${what}`)
  })
  late.catch(() => {})
  try {
    return await Promise.race([promise, late])
  } finally {
    abandon.abort()
  }
}
