import t from 'tap'
import { CronRule, cronProblem } from '../../lib/schedules/cron.ts'

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

t.test('five and six fields, names, lists, steps, the last day', async (t) => {
  t.same(ticks('*/20 * * * * *', 'UTC', '2026-11-01T00:00:00Z', '2026-11-01T00:01:00Z').length, 3)
  t.same(ticks('0 12 * * MON-FRI', 'UTC', '2026-11-01T00:00:00Z', '2026-11-07T23:00:00Z'),
    ['11-02 12:00', '11-03 12:00', '11-04 12:00', '11-05 12:00', '11-06 12:00'])
  t.same(ticks('0 12 * * 7', 'UTC', '2026-11-01T00:00:00Z', '2026-11-10T23:00:00Z'), ticks('0 12 * * 0', 'UTC', '2026-11-01T00:00:00Z', '2026-11-10T23:00:00Z'))
  t.same(ticks('0 0 L * *', 'UTC', '2026-01-01T00:00:00Z', '2026-03-31T23:00:00Z'), ['01-31 00:00', '02-28 00:00', '03-31 00:00'])
  t.same(ticks('0 0 31 * *', 'UTC', '2026-01-01T00:00:00Z', '2026-05-31T23:00:00Z'), ['01-31 00:00', '03-31 00:00', '05-31 00:00'])
})

t.test('day of month and weekday are alternatives, as in cron: every Friday, and the 13th', async (t) => {
  t.same(ticks('0 0 13 * 5', 'UTC', '2026-11-01T00:00:00Z', '2026-12-15T00:00:00Z').map((tick) => tick.slice(0, 5)),
    ['11-06', '11-13', '11-20', '11-27', '12-04', '12-11', '12-13'])
})

t.test('counting stops at a hundred', async (t) => {
  t.equal(new CronRule('* * * * * *', 'UTC').count(0, 1e9), 100)
})

t.test('what is wrong with a pattern is said', async (t) => {
  t.equal(cronProblem('0 0 30 2 *', 'UTC', 0), 'it never comes')
  t.match(cronProblem('*/0 * * * *', 'UTC', 0), /stepping/)
  t.match(cronProblem('* * * * * * 2030', 'UTC', 0), /five fields, or six with seconds, not 7/, 'no years')
  t.match(cronProblem('2030-01-01T00:00:00', 'UTC', 0), /not 1$/, 'no dates')
  t.match(cronProblem('* * * * *', 'Mars/Olympus', 0), /Mars\/Olympus/)
  t.equal(cronProblem('0 0 29 2 *', 'UTC', 0), undefined)
  t.equal(cronProblem(' @daily ', 'UTC', 0), undefined)
})
