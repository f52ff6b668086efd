import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { CronRule } from '../../lib/schedules/cron.ts'
import { problemOf } from '../helpers/cron.ts'
import { root } from '../helpers/example.ts'

const guide = await readFile(join(root, 'docs/guide.md'), 'utf8')
const section = guide.slice(guide.indexOf('### Cron patterns'), guide.indexOf('## Services'))
/** Cells of the rows below the heading of a table. */
function rows (heading: string): string[][] {
  const table = section.slice(section.indexOf(heading)).split('\n\n')[0]!.split('\n')
  return table.slice(2).map((row) => row.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, '')))
}

function patternsIn (cell: string): string[] {
  return Array.from(cell.matchAll(/`([^`]+)`/g), ([, code]) => code!).filter((code) => code.split(' ').length >= 5)
}

/** After the last second of October 2026, in UTC. */
function first (pattern: string, count: number): string[] {
  const rule = new CronRule(pattern, 'UTC')
  const found: string[] = []
  for (let tick = rule.next(Date.parse('2026-10-31T23:59:59Z')); found.length < count; tick = rule.next(tick!)) found.push(new Date(tick!).toISOString().slice(5, 19))
  return found
}

const meanings: Record<string, string[]> = {
  '*/5 * * * *': ['11-01T00:00:00', '11-01T00:05:00', '11-01T00:10:00'],
  '*/20 * * * * *': ['11-01T00:00:00', '11-01T00:00:20', '11-01T00:00:40', '11-01T00:01:00'],
  '5-59/15 * * * *': ['11-01T00:05:00', '11-01T00:20:00', '11-01T00:35:00', '11-01T00:50:00', '11-01T01:05:00'],
  '0 9-17 * * MON-FRI': [...Array.from({ length: 9 }, (_, n) => `11-02T${String(9 + n).padStart(2, '0')}:00:00`), '11-03T09:00:00'],
  '0 0 * * 0': ['11-01T00:00:00', '11-08T00:00:00', '11-15T00:00:00'],
  '0 0 1 JAN,JUL *': ['01-01T00:00:00', '07-01T00:00:00', '01-01T00:00:00'],
  '0 0 L * *': ['11-30T00:00:00', '12-31T00:00:00', '01-31T00:00:00', '02-28T00:00:00'],
  '0 0 15W * *': ['11-16T00:00:00', '12-15T00:00:00', '01-15T00:00:00', '02-15T00:00:00', '03-15T00:00:00', '04-15T00:00:00', '05-14T00:00:00'],
  '0 0 LW * *': ['11-30T00:00:00', '12-31T00:00:00', '01-29T00:00:00'],
  '0 0 * * 5L': ['11-27T00:00:00', '12-25T00:00:00'],
  '0 0 * * 5#2': ['11-13T00:00:00', '12-11T00:00:00'],
  '0 0 ? * MON': ['11-02T00:00:00', '11-09T00:00:00'],
  '0 0 13 * 5': ['11-06T00:00:00', '11-13T00:00:00', '11-20T00:00:00', '11-27T00:00:00', '12-04T00:00:00', '12-11T00:00:00', '12-13T00:00:00'],
  '0 0 13 * +5': ['11-13T00:00:00', '08-13T00:00:00'],
  '@daily': ['11-01T00:00:00', '11-02T00:00:00']
}

t.test('each pattern of the guide ticks as it says', async (t) => {
  const shown = rows('| pattern | ticks |').map(([pattern]) => pattern!.slice(1, -1))
  t.same(shown, Object.keys(meanings))
  for (const [pattern, expected] of Object.entries(meanings)) t.same(first(pattern, expected.length), expected, pattern)
})

t.test('what the guide calls refused is refused, and what it says to write instead is not', async (t) => {
  const refused = rows('| refused | write |')
  t.ok(refused.length >= 9)
  for (const [pattern, write] of refused) {
    t.type(problemOf(pattern!.slice(1, -1), 'UTC', Date.UTC(2026, 10)), 'string', pattern!)
    for (const instead of patternsIn(write!)) t.equal(problemOf(instead, 'UTC', Date.UTC(2026, 10)), undefined, instead)
  }
})

t.test('the clock changes of Berlin, with the patterns of the guide', async (t) => {
  const [, one, several] = section.slice(section.indexOf('| clock change |')).split('\n')[0]!.split(' | ').map(patternsIn) as [unknown, string[], string[]]
  t.same([one, several], [['30 2 * * *'], ['0 * * * *', '15,45 2 * * *', '30 2,14 * * *']])
  const ticks = (pattern: string, from: string, to: string): string[] => {
    const rule = new CronRule(pattern, 'Europe/Berlin')
    const found: string[] = []
    for (let tick = rule.next(Date.parse(from)); tick! <= Date.parse(to); tick = rule.next(tick!)) found.push(new Date(tick!).toISOString().slice(11, 16))
    return found
  }
  // In UTC: the hour after 01:00 is that after 03:00 in Berlin.
  const spring = (pattern: string): string[] => ticks(pattern, '2026-03-28T23:30:00Z', '2026-03-29T12:45:00Z')
  t.same(spring('30 2 * * *'), ['01:00'])
  t.same(spring('0 * * * *').slice(0, 4), ['00:00', '01:00', '02:00', '03:00'])
  t.same(spring('15,45 2 * * *'), [])
  t.same(spring('30 2,14 * * *'), ['12:30'])
  t.same(spring('30 14 * * *'), ['12:30'])
  // The hour after 02:00 in Berlin is that after 00:00, and that after 01:00.
  const autumn = (pattern: string): string[] => ticks(pattern, '2026-10-24T23:30:00Z', '2026-10-25T13:45:00Z')
  t.same(autumn('30 2 * * *'), ['00:30'])
  t.same(autumn('0 * * * *').slice(0, 4), ['00:00', '01:00', '02:00', '03:00'])
  t.same(autumn('15,45 2 * * *'), ['00:15', '00:45', '01:15', '01:45'])
  t.same(autumn('30 2,14 * * *'), ['00:30', '01:30', '13:30'])
})
