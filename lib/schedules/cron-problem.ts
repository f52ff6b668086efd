import { toError } from '../serialize-error.ts'
import type { CronRule } from './cron.ts'

interface Field {
  /** With its article. */
  readonly one: string
  readonly least: number
  readonly greatest: number
  /** Where a step ends that goes on to the end. */
  readonly last: number
  /** In lower case; the first one is the least value. */
  readonly names: readonly string[]
  readonly values: string
}

const SIXTY = { least: 0, greatest: 59, last: 59, names: [], values: '0 to 59' }
/** A pattern of five fields has no seconds. */
const FIELDS: readonly Field[] = [
  { one: 'a second', ...SIXTY },
  { one: 'a minute', ...SIXTY },
  { one: 'an hour', least: 0, greatest: 23, last: 23, names: [], values: '0 to 23' },
  { one: 'a day of the month', least: 1, greatest: 31, last: 31, names: [], values: '1 to 31' },
  { one: 'a month', least: 1, greatest: 12, last: 12, names: ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'], values: '1 to 12, or JAN to DEC' },
  { one: 'a weekday', least: 0, greatest: 7, last: 6, names: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'], values: '0 to 7 (0 and 7 are Sunday), or SUN to SAT' }
]
const NICKNAMES = ['@hourly', '@daily', '@midnight', '@weekly', '@monthly', '@yearly', '@annually']

/**
 * What is wrong with a rule, in a sentence that has the user's own text; undefined when it ticks some time after `now`.
 * croner's messages have what it made of the text: days and months counted from 0, names replaced by numbers.
 */
export function cronProblem (rule: CronRule, now: number): string | undefined {
  const problem = patternProblem(rule.pattern.trim())
  if (problem !== undefined) return problem
  try {
    return rule.next(now) === undefined ? 'it never comes' : undefined
  } catch (error) {
    return isTimezone(rule.timezone)
      ? toError(error).message.replace(/^CronPattern: /, '')
      : `'${rule.timezone}' is not a time zone: write one by its name, such as 'UTC' or 'Europe/Berlin'`
  }
}

function isTimezone (timezone: string): boolean {
  try {
    Intl.DateTimeFormat('en', { timeZone: timezone })
    return true
  } catch {
    return false
  }
}

function patternProblem (pattern: string): string | undefined {
  if (pattern.startsWith('@')) {
    return NICKNAMES.includes(pattern.toLowerCase()) ? undefined : `'${pattern}' is not supported: write five fields, or one of ${NICKNAMES.join(', ')}; { every } is the rule for every so many milliseconds`
  }
  const texts = pattern.split(/\s+/)
  // croner would take a date, and years.
  if (texts.length !== 5 && texts.length !== 6) return `it must have five fields, or six with seconds, not ${texts.length}`
  return firstProblem(texts, (text, index) => fieldProblem(text, FIELDS[index + FIELDS.length - texts.length]!))
}

function firstProblem<Item> (items: readonly Item[], check: (item: Item, index: number) => string | undefined): string | undefined {
  for (const [index, item] of items.entries()) {
    const problem = check(item, index)
    if (problem !== undefined) return problem
  }
  return undefined
}

function fieldProblem (text: string, field: Field): string | undefined {
  const parts = (field.one === 'a weekday' ? text.replace(/^\+/, '') : text).split(',')
  return firstProblem(parts, (part) => part === '' ? `'${text}' lacks ${field.one}: write one, or leave the ${text === '+' ? "'+'" : 'comma'} out` : partProblem(part, field))
}

function partProblem (part: string, field: Field): string | undefined {
  if (field.one === 'a day of the month') {
    // croner says that LW is not for lists.
    if (/^(l|lw)$/i.test(part)) return undefined
    if (/l/i.test(part)) return `'${part}' is not supported: L stands alone, for the last day of the month`
    if (/w/i.test(part)) return /^[^/-]+w$/i.test(part) ? valueProblem(part.slice(0, -1), part, field) : `'${part}' is not supported: W comes after a single day, as in 15W`
  }
  if (field.one === 'a weekday') return weekdayProblem(part, field)
  return stepsProblem(part, part, field)
}

function weekdayProblem (part: string, field: Field): string | undefined {
  const [, weekdays, nth] = /^([^#]*)#(.*)$/.exec(part) ?? /^(.*)(l)$/i.exec(part) ?? [undefined, part]
  if (nth === undefined) return stepsProblem(part, part, field)
  if (!/^(0*[1-5]|l)$/i.test(nth)) return `'${part}' is not supported: write 1 to 5 after the #, or L for the last one`
  return /^[*?]?$/.test(weekdays!) ? `'${part}' lacks a weekday: write one, as in 5#2 or 5L` : stepsProblem(weekdays!, part, field)
}

/** `text` is the part of the field without what follows a weekday; `part` is the whole. */
function stepsProblem (text: string, part: string, field: Field): string | undefined {
  const { least, last } = field
  const [range, step, ...more] = text.split('/')
  if (step === undefined) return rangeProblem(text, part, field)
  const steps = last - least + 1
  if (more.length > 0 || !/^\d+$/.test(step) || Number(step) < 1 || Number(step) > steps) return `'${part}' has a wrong step: write 1 to ${steps} after the /`
  if (range === '') return `'${part}' lacks where it starts: write '*/${step}'`
  if (range!.includes('-') || /^[*?]$/.test(range!)) return rangeProblem(range!, part, field)
  const start = valueOf(range!, field)
  if (Number.isNaN(start)) return notAValue(range!, part, field)
  // Quartz and others take `5/15` for every 15 from 5 on. croner does not.
  const open = `'${range}-${Math.max(start, last)}/${step}'`
  return `'${part}' is not supported: write ${start === least ? `'*/${step}' or ${open}` : open}`
}

function rangeProblem (text: string, part: string, field: Field): string | undefined {
  if (/^[*?]$/.test(text)) return undefined
  const [first, second, ...more] = text.split('-')
  if (second === undefined) return valueProblem(text, part, field)
  if (more.length > 0 || first === '' || second === '') return `'${part}' is not a range: write two values, as in ${field.least}-${field.last}`
  const [from, to] = [valueOf(first!, field), valueOf(second, field, true)]
  if (Number.isNaN(from)) return notAValue(first!, part, field)
  if (Number.isNaN(to)) return notAValue(second, part, field)
  if (from <= to) return undefined
  return `'${part}' goes over the end: write ${text === part ? `'${twoRanges(first!, second, field)}'` : 'two ranges'}`
}

/** What a range that goes over the end of its field means, in the user's style: numbers, or names. */
function twoRanges (first: string, second: string, { least, last, names }: Field): string {
  const [start, end] = /\d/.test(first) ? [least, last] : [names[0]!.toUpperCase(), names.at(-1)!.toUpperCase()]
  const range = (from: string, to: string): string => from.toUpperCase() === to.toUpperCase() ? from : `${from}-${to}`
  return `${range(first, String(end))},${range(String(start), second)}`
}

function valueProblem (value: string, part: string, field: Field): string | undefined {
  return Number.isNaN(valueOf(value, field)) ? notAValue(value, part, field) : undefined
}

/** NaN when it is none of the field's. */
function valueOf (text: string, { least, greatest, names }: Field, isEnd = false): number {
  const named = names.indexOf(text.toLowerCase())
  // A range ends with Sunday as the seventh day.
  if (named !== -1) return isEnd && named + least === 0 ? greatest : named + least
  const value = /^\d+$/.test(text) ? Number(text) : NaN
  return value >= least && value <= greatest ? value : NaN
}

function notAValue (value: string, part: string, { one, values }: Field): string {
  return `'${value}'${value === part ? '' : ` in '${part}'`} is not ${one}: write ${values}`
}
