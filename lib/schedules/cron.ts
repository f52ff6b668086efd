import { Cron } from 'croner'
import { toError } from '../serialize-error.ts'
import type { Rule } from './rule.ts'

/** A longer pattern is no schedule that anybody wrote. */
export const MAX_PATTERN_LENGTH = 256
/** Each takes croner a tenth of a millisecond, in which nothing else happens. */
const MAX_COUNTED = 100

/**
 * Ticks of a cron pattern, by croner, whose behaviour around clock changes is pinned by tests: a pattern with one time of day
 * ticks at the end of the gap when that falls into the spring gap, and once when the autumn overlap repeats it; one with
 * several times of day leaves out what falls into the gap, and ticks in both passes of the overlap.
 */
export class CronRule implements Rule {
  readonly #cron: Cron

  /** Throws an Error with the reason when the pattern or the time zone is wrong. */
  constructor (pattern: string, timezone: string) {
    this.#cron = new Cron(pattern, { timezone, mode: '5-or-6-parts', paused: true })
  }

  next (time: number): number | undefined {
    return this.#cron.nextRun(new Date(time))?.getTime()
  }

  latest (time: number): number | undefined {
    // croner looks strictly before its reference.
    return this.#cron.previousRuns(1, new Date(time + 1))[0]?.getTime()
  }

  count (from: number, to: number): number {
    let count = 0
    for (let tick = this.next(from); tick !== undefined && tick <= to && count < MAX_COUNTED; tick = this.next(tick)) count++
    return count
  }
}

/** The least and the greatest value of each field; a pattern of five fields has no seconds. */
const LIMITS = [[0, 59], [0, 59], [0, 23], [1, 31], [1, 12], [0, 6]] as const

/** What is wrong with a pattern, in a sentence; undefined when it ticks some time after `now`. */
export function cronProblem (pattern: string, timezone: string, now: number): string | undefined {
  const fields = pattern.trim().split(/\s+/)
  // croner would take a date, and years.
  if (fields.length !== 5 && fields.length !== 6 && !/^@\w+$/.test(pattern.trim())) return `it must have five fields, or six with seconds, not ${fields.length}`
  try {
    return openStep(fields) ?? (new CronRule(pattern, timezone).next(now) === undefined ? 'it never comes' : undefined)
  } catch (error) {
    return plainMessage(toError(error).message)
  }
}

/** Quartz and others take `5/15` for every 15 from 5 on. croner does not: the problem says what to write instead. */
function openStep (fields: readonly string[]): string | undefined {
  for (const [index, [least, greatest]] of LIMITS.slice(-fields.length).entries()) {
    for (const part of fields[index]!.split(',')) {
      const [, start, step] = /^(\d+|[a-z]{3})\/(\d+)$/i.exec(part) ?? []
      if (start === undefined || Number(start) > greatest) continue
      const range = `'${start}-${greatest}/${step}'`
      return `'${part}' is not supported: write ${Number(start) === least ? `'*/${step}' or ${range}` : range}`
    }
  }
  return undefined
}

// croner counts days and months from 0 in its messages.
function plainMessage (message: string): string {
  return message
    .replace(/^CronPattern: /, '')
    .replace(/^(Invalid value for (?:day|month|nearestWeekdays): )(-?\d+)$/, (_, text, value) => `${text}${Number(value) + 1}`)
}
