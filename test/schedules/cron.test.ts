import t from 'tap'
import { CronRule } from '../../lib/schedules/cron.ts'
import { problemOf } from '../helpers/cron.ts'
import { gc } from '../helpers/gc.ts'

/** Ticks in (from, to], found forwards; throws unless looking back finds the same. */
function ticks (pattern: string, timezone: string, from: string, to: string): string[] {
  const rule = new CronRule(pattern, timezone)
  const forwards: number[] = []
  for (let tick = rule.next(Date.parse(from)); tick !== undefined && tick <= Date.parse(to); tick = rule.next(tick)) forwards.push(tick)
  const backwards: number[] = []
  for (let tick = rule.latest(Date.parse(to)); tick !== undefined && tick > Date.parse(from); tick = rule.latest(tick - 1)) backwards.unshift(tick)
  if (forwards.join() !== backwards.join()) throw new Error(`forwards ${forwards}, backwards ${backwards}`)
  if (Math.min(forwards.length, 100) !== rule.count(Date.parse(from), Date.parse(to))) throw new Error('the count is another one')
  return forwards.map((tick) => new Date(tick).toISOString().slice(5, 16).replace('T', ' '))
}

const halves = (day: string, from: number, to: number) => Array.from({ length: (to - from) * 2 + 1 }, (_, n) =>
  `${day} ${String(Math.floor(from + n / 2)).padStart(2, '0')}:${n % 2 === 0 ? '00' : '30'}`)

t.test('the spring gap: New York has no 02:00 to 03:00 on 2026-03-08', async (t) => {
  const gap = ['America/New_York', '2026-03-08T04:00:00Z', '2026-03-08T09:00:00Z'] as const
  t.same(ticks('30 2 * * *', ...gap), ['03-08 07:00'], 'a fixed time in the gap comes at its end')
  t.same(ticks('0 2 * * *', ...gap), ['03-08 07:00'])
  t.same(ticks('0 3 * * *', ...gap), ['03-08 07:00'], '03:00 is 07:00 UTC')
  t.same(ticks('15,45 2 * * *', ...gap), [], 'several times a day: what falls into the gap is left out')
  t.same(ticks('30 2,14 * * *', 'America/New_York', '2026-03-08T04:00:00Z', '2026-03-09T04:00:00Z'), ['03-08 18:30'], 'also when the other one is hours away')
  t.same(ticks('*/20 30 2 * * *', ...gap), [], 'and when they are seconds apart')
  t.same(ticks('30 2 * * SUN', ...gap), ['03-08 07:00'], 'one time on some days is one time of day')
  t.same(ticks('0 1-3 * * *', ...gap), ['03-08 06:00', '03-08 07:00'])
  t.same(ticks('0 * * * *', ...gap), ['03-08 05:00', '03-08 06:00', '03-08 07:00', '03-08 08:00', '03-08 09:00'], 'an hour each, in real time')
  t.same(ticks('*/30 * * * *', ...gap), halves('03-08', 4, 9).slice(1))
})

t.test('the autumn overlap: New York has 01:00 to 02:00 twice on 2026-11-01', async (t) => {
  const overlap = ['America/New_York', '2026-11-01T03:30:00Z', '2026-11-01T08:30:00Z'] as const
  t.same(ticks('30 1 * * *', ...overlap), ['11-01 05:30'], 'a fixed time comes once, the first time')
  t.same(ticks('0 1 * * *', ...overlap), ['11-01 05:00'])
  t.same(ticks('0 2 * * *', ...overlap), ['11-01 07:00'])
  t.same(ticks('15,45 1 * * *', ...overlap), ['11-01 05:15', '11-01 05:45', '11-01 06:15', '11-01 06:45'], 'several times a day: both times')
  t.same(ticks('0 * * * *', ...overlap), ['11-01 04:00', '11-01 05:00', '11-01 06:00', '11-01 07:00', '11-01 08:00'], 'an hour each, in real time')
  t.same(ticks('30 * * * *', ...overlap), ['11-01 04:30', '11-01 05:30', '11-01 06:30', '11-01 07:30', '11-01 08:30'])
  t.same(ticks('*/30 * * * *', ...overlap), halves('11-01', 4, 8.5))
})

t.test('a gap of half an hour, on Lord Howe', async (t) => {
  t.same(ticks('15 2 * * *', 'Australia/Lord_Howe', '2026-10-03T13:00:00Z', '2026-10-03T17:00:00Z'), ['10-03 15:30'])
  t.same(ticks('45 1 * * *', 'Australia/Lord_Howe', '2026-04-04T13:00:00Z', '2026-04-04T17:00:00Z'), ['04-04 14:45'])
  t.same(ticks('*/30 * * * *', 'Australia/Lord_Howe', '2026-04-04T13:00:00Z', '2026-04-04T17:00:00Z'), halves('04-04', 13, 17).slice(1))
})

t.test('hourly ticks are an hour apart through a whole year, in every one of these zones', async (t) => {
  for (const timezone of ['UTC', 'America/New_York', 'Europe/Berlin', 'Australia/Sydney', 'Asia/Kolkata', 'Africa/Casablanca']) {
    const rule = new CronRule('0 * * * *', timezone)
    const end = Date.parse('2027-01-01T00:00:00Z')
    let uneven = 0
    let last = rule.next(Date.parse('2026-01-01T00:00:00Z'))!
    for (let tick = rule.next(last)!; tick < end; tick = rule.next(tick)!) {
      if (tick - last !== 3_600_000) uneven++
      last = tick
    }
    t.equal(uneven, 0, timezone)
  }
})

t.test('a daily tick comes once every local day of a year with both changes', async (t) => {
  for (const timezone of ['America/New_York', 'Europe/Berlin', 'Australia/Sydney']) {
    for (const pattern of ['0 2 * * *', '30 2 * * *', '30 1 * * *', '0 3 * * *']) {
      const found = ticks(pattern, timezone, '2026-01-01T12:00:00Z', '2027-01-01T12:00:00Z')
      t.equal(found.length, 365, `${pattern} ${timezone}`)
    }
  }
})

/** Days of November 2026, which begins on a Sunday, in UTC. */
function days (pattern: string): string {
  return ticks(pattern, 'UTC', '2026-10-31T23:59:59Z', '2026-11-30T23:59:59Z').map((tick) => Number(tick.slice(3, 5))).join(' ')
}

t.test('five fields, or six with seconds first', async (t) => {
  t.same(ticks('*/20 * * * * *', 'UTC', '2026-11-01T00:00:00Z', '2026-11-01T00:01:00Z').length, 3)
  t.same(ticks('0 30 12 * * *', 'UTC', '2026-11-01T00:00:00Z', '2026-11-02T00:00:00Z'), ['11-01 12:30'])
  t.equal(days('0 12 * * *').split(' ').length, 30)
})

t.test('weekdays are 0 to 7 from Sunday to Sunday, or names', async (t) => {
  for (const sunday of ['0', '7', 'SUN', 'sun']) t.equal(days(`0 0 * * ${sunday}`), '1 8 15 22 29', sunday)
  for (const monday of ['1', 'MON', 'Mon']) t.equal(days(`0 0 * * ${monday}`), '2 9 16 23 30', monday)
  for (const saturday of ['6', 'SAT']) t.equal(days(`0 0 * * ${saturday}`), '7 14 21 28', saturday)
  t.equal(days('0 0 * * MON-FRI'), days('0 0 * * 1-5'))
  t.equal(days('0 0 * * MON-SUN').split(' ').length, 30)
  t.equal(days('0 0 * * SAT-SUN'), '1 7 8 14 15 21 22 28 29')
  t.match(problemOf('0 0 * * 8'), /'8' is not a weekday/)
})

t.test("Quartz's weekdays, 1 to 7 from Sunday, become those of here when each is lowered by one", async (t) => {
  const quartz = { SUN: 1, MON: 2, TUE: 3, WED: 4, THU: 5, FRI: 6, SAT: 7 }
  for (const [name, number] of Object.entries(quartz)) t.equal(days(`0 0 * * ${number - 1}`), days(`0 0 * * ${name}`), name)
})

t.test('names of months and days have three letters', async (t) => {
  t.same(ticks('0 0 1 jan,JUL *', 'UTC', '2026-01-01T12:00:00Z', '2027-01-01T12:00:00Z'), ['07-01 00:00', '01-01 00:00'])
  t.equal(days('0 0 * NOV MON,WED-FRI'), '2 4 5 6 9 11 12 13 16 18 19 20 23 25 26 27 30')
  for (const pattern of ['0 0 * * MONDAY', '0 0 * NOVEMBER *']) t.match(problemOf(pattern), /is not a (month|weekday)/, pattern)
})

t.test('L is the last day, or the last of a weekday', async (t) => {
  t.same(ticks('0 0 L * *', 'UTC', '2026-01-01T00:00:00Z', '2026-03-31T23:00:00Z'), ['01-31 00:00', '02-28 00:00', '03-31 00:00'])
  t.equal(days('0 0 15,L * *'), '15 30')
  for (const friday of ['5L', 'FRIL', '5#L']) t.equal(days(`0 0 * * ${friday}`), '27', friday)
  for (const pattern of ['0 0 L-3 * *', '0 0 * * L']) t.type(problemOf(pattern), 'string', pattern)
  t.same(ticks('0 0 31 * *', 'UTC', '2026-01-01T00:00:00Z', '2026-05-31T23:00:00Z'), ['01-31 00:00', '03-31 00:00', '05-31 00:00'], '31 is left out where there is none')
})

t.test('W is the nearest day from Monday to Friday, in the same month', async (t) => {
  t.equal(days('0 0 15W * *'), '16', 'a Sunday')
  t.equal(days('0 0 14W * *'), '13', 'a Saturday')
  t.equal(days('0 0 11W * *'), '11')
  t.equal(days('0 0 1W * *'), '2')
  t.same(ticks('0 0 LW * *', 'UTC', '2027-01-01T00:00:00Z', '2027-02-28T23:00:00Z'), ['01-29 00:00', '02-26 00:00'])
  t.same(ticks('0 0 1W * *', 'UTC', '2027-05-01T00:00:00Z', '2027-05-31T00:00:00Z'), ['05-03 00:00'], 'not the Friday of the month before')
})

t.test('# is the first to the fifth of a weekday', async (t) => {
  for (const pattern of ['0 0 * * 5#2', '0 0 * * FRI#2']) t.equal(days(pattern), '13', pattern)
  t.equal(days('0 0 * * SUN#5'), '29')
  t.equal(days('0 0 * * SAT#5'), '', 'November 2026 has none')
  t.match(problemOf('0 0 * * 5#6'), /'5#6' is not supported/)
})

t.test('? is the same as *', async (t) => {
  t.equal(days('0 0 ? * MON'), days('0 0 * * MON'))
  t.equal(days('0 0 13 * ?'), '13')
  t.equal(days('0 0 0 ? * *').split(' ').length, 30)
})

t.test('day of month and weekday are alternatives, as in cron: every Friday, and the 13th', async (t) => {
  t.same(ticks('0 0 13 * 5', 'UTC', '2026-11-01T00:00:00Z', '2026-12-15T00:00:00Z').map((tick) => tick.slice(0, 5)),
    ['11-06', '11-13', '11-20', '11-27', '12-04', '12-11', '12-13'])
})

t.test('with + before the weekday both have to match: a Friday the 13th', async (t) => {
  for (const pattern of ['0 0 13 * +5', '0 0 13 * +FRI']) {
    t.same(ticks(pattern, 'UTC', '2026-01-01T00:00:00Z', '2027-12-31T00:00:00Z').map((tick) => tick.slice(0, 5)), ['02-13', '03-13', '11-13', '08-13'], pattern)
  }
  t.equal(days('0 0 1-7 * +MON'), '2')
})

t.test('nicknames', async (t) => {
  const meanings = {
    '@hourly': '0 * * * *',
    '@daily': '0 0 * * *',
    '@midnight': '0 0 * * *',
    '@weekly': '0 0 * * 0',
    '@monthly': '0 0 1 * *',
    '@yearly': '0 0 1 1 *',
    '@annually': '0 0 1 1 *'
  }
  for (const [nickname, pattern] of Object.entries(meanings)) {
    const year = ['UTC', '2026-01-01T00:30:00Z', '2027-01-01T00:30:00Z'] as const
    t.same(ticks(nickname, ...year), ticks(pattern, ...year), nickname)
  }
  for (const nickname of ['@reboot', '@every_minute', '@every 5m']) t.type(problemOf(nickname), 'string', nickname)
})

t.test('steps go over all values, or over a range', async (t) => {
  const hour = ['UTC', '2026-11-01T00:00:30Z', '2026-11-01T01:00:30Z'] as const
  t.equal(ticks('*/5 * * * *', ...hour).length, 12)
  t.same(ticks('0-59/5 * * * *', ...hour), ticks('*/5 * * * *', ...hour))
  t.same(ticks('5-59/15 * * * *', ...hour).map((tick) => tick.slice(-2)), ['05', '20', '35', '50'])
  t.equal(days('0 0 */10 * *'), '1 11 21')
  t.same(ticks('*/25 * * * *', ...hour).map((tick) => tick.slice(-2)), ['25', '50', '00'], 'every hour begins anew')
})

t.test('ranges do not go over the end: two of them do', async (t) => {
  for (const pattern of ['0 0 * * FRI-MON', '0 22-2 * * *', '0 0 1 NOV-FEB *']) t.match(problemOf(pattern), /goes over the end/, pattern)
  t.equal(days('0 0 * * FRI-SUN,MON'), '1 2 6 7 8 9 13 14 15 16 20 21 22 23 27 28 29 30')
  t.equal(ticks('0 22-23,0-2 * * *', 'UTC', '2026-11-01T12:00:00Z', '2026-11-02T12:00:00Z').length, 5)
})

t.test('looking back finds the same, whatever was looked for before', async (t) => {
  const at = (text: string): number => Date.parse(`2026-11-${text}Z`)
  const rule = new CronRule('0 */6 * * *', 'Europe/Berlin')
  t.equal(rule.latest(at('02T10:30')), at('02T05:00'), 'before any look forward')
  t.equal(rule.next(at('02T10:30')), at('02T11:00'))
  t.equal(rule.latest(at('02T10:59')), at('02T05:00'))
  t.equal(rule.latest(at('02T11:00')), at('02T11:00'), 'at the next tick')
  t.equal(rule.latest(at('02T10:30')), at('02T05:00'))
  t.equal(rule.next(at('02T11:00')), at('02T17:00'), 'from tick to tick')
  t.equal(rule.latest(at('02T16:59')), at('02T11:00'))
  t.equal(rule.next(at('02T20:00')), at('02T23:00'), 'over a tick')
  t.equal(rule.latest(at('02T20:00')), at('02T17:00'))
  t.equal(rule.next(at('02T10:59')), at('02T11:00'), 'the clock was set back')
  t.equal(rule.latest(at('02T10:59')), at('02T05:00'))
  t.equal(rule.latest(at('01T12:00')), at('01T11:00'))
  t.equal(rule.latest(at('02T10:59')), at('02T05:00'))
})

t.test('counting stops at a hundred', async (t) => {
  t.equal(new CronRule('* * * * * *', 'UTC').count(0, 1e9), 100)
})

t.test('a rule takes little memory: what croner makes of the pattern is not kept', async (t) => {
  const make = () => Array.from({ length: 1000 }, (_, n) => {
    const rule = new CronRule(`${n % 60} ${Math.floor(n / 60)} * * *`, 'Europe/Berlin')
    rule.next(n)
    rule.latest(n)
    return rule
  })
  make()
  gc()
  const before = process.memoryUsage().heapUsed
  const rules = make()
  gc()
  const bytes = (process.memoryUsage().heapUsed - before) / rules.length
  t.ok(bytes < 5000, `${bytes} bytes each; with the object of croner it would be 84,000`)
})

t.test('a tick that is known is known for every time before it, and for none that is earlier than where it was looked for', async (t) => {
  const hourly = new CronRule('0 * * * *', 'UTC')
  const other = new CronRule('30 * * * *', 'UTC')
  const HOUR = 3_600_000
  for (const [time, tick] of [[5.5, 6], [5.9, 6], [5.2, 6], [4.9, 5], [5, 6], [6, 7], [6.5, 7], [3, 4]] as const) {
    t.equal(hourly.next(time * HOUR), tick * HOUR, `after ${time}`)
    t.equal(other.next(tick * HOUR), (tick + 0.5) * HOUR, 'another one in between')
    t.equal(hourly.latest(tick * HOUR), tick * HOUR)
  }
  const never = new CronRule('0 0 30 2 *', 'UTC')
  for (const time of [5, 5, 9, 1]) t.equal(never.next(time), undefined)
})
