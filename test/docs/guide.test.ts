import { spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { createTable as onPostgres } from '../../lib/outbox/postgres-sql.ts'
import { createTable as onSqlite } from '../../lib/outbox/sqlite-sql.ts'
import { buildApp } from '../helpers/app.ts'
import { root } from '../helpers/child.ts'
import { outputOf } from '../helpers/programs.ts'

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
const skip = (major > 22 || (major === 22 && minor >= 18)) ? false : 'type stripping needs Node >= 22.18'
const guide = await readFile(join(root, 'docs/guide.md'), 'utf8')

t.test("the guide shows the outbox's tables as they are created", async (t) => {
  const shown = Array.from(guide.matchAll(/^```sql\n(.*?)```$/gms), ([, sql]) => sql!.trim())
  t.same(shown, [onPostgres({ schema: 'public', table: 'outbox_events' }).trim(), onSqlite('outbox_events').trim()])
})

t.test('the guide names every metric', async (t) => {
  const app = await buildApp(t)
  await app.ready()
  for (const { name } of app.jobs.metrics!.registry.getMetricsAsArray()) t.ok(guide.includes(name.replace('jobs_', '')), name)
})

const [, alerts] = /^```yaml\n(groups:.*?)^```$/ms.exec(guide)!

t.test("the guide's alerts ask for metrics and labels that there are", async (t) => {
  const app = await buildApp(t)
  await app.ready()
  const metrics = new Map(app.jobs.metrics!.registry.getMetricsAsArray().map((metric) => [metric.name, (metric as unknown as { labelNames: string[] }).labelNames]))
  for (const [, aggregated, labels, name] of alerts!.matchAll(/(?:(max|min|sum) by \(([\w, ]+)\) \((?:(?:increase|max_over_time)\()?)?(jobs_\w+)/g)) {
    t.ok(metrics.has(name!), `there is ${name}`)
    t.ok(aggregated !== undefined, `${name}: instances share a queue`)
    for (const label of labels!.split(', ')) t.ok(metrics.get(name!)!.includes(label), `${name} has the label ${label}`)
  }
})

const noPromtool = spawnSync('promtool', ['--version']).error !== undefined &&
  "PROMTOOL IS MISSING (apt install prometheus): nothing tries the guide's alerts"

t.test("the guide's alerts tell a schedule that fails from one that works, over deployments", { skip: process.env.CI !== 'true' && noPromtool }, async (t) => {
  if (noPromtool !== false) return t.fail(noPromtool)
  const folder = t.testdir({ 'alerts.yaml': alerts! })
  // Half a day each, in samples of five minutes. Each schedule ticks at noon, and the process begins anew at midnight.
  const half = (value: number) => `${value}+0x143`
  const none = '_x144'
  const five = (day: (index: number) => string) => Array.from({ length: 5 }, (_, index) => day(index)).join(' ')
  const noon = (day: number) => half((day + 0.5) * 86_400)
  const series = (metric: string, schedule: string, values: string) => ({ series: `jobs_schedule_${metric}{schedule="${schedule}"}`, values })
  const schedule = (name: string, success: string, { skipped = half(0), ticks = five(() => `${half(0)} ${half(1)}`), interval = five(() => `${half(86_400)} ${half(86_400)}`) } = {}) => [
    series('ticks_total', name, ticks),
    series('skipped_total', name, five(() => `${half(0)} ${skipped}`)),
    series('interval_seconds', name, interval),
    series('last_success_timestamp_seconds', name, success)
  ]
  const input = [
    ...schedule('works', five((day) => `${none} ${noon(day)}`)),
    ...schedule('fails', none),
    ...schedule('fails now', `${none} ${noon(0)} stale`),
    ...schedule('hangs', none, { ticks: `${half(0)} ${half(1)}`, skipped: half(1) }),
    ...schedule('is new', none, { ticks: `${none} `.repeat(8) + `${half(0)} ${half(1)}` }),
    ...schedule('paused', none, { interval: 'stale' }),
    ...schedule('paused now', `${none} ${noon(0)} stale`, { interval: `${half(86_400)} stale` })
  ]
  const firing = (alertname: string, names: readonly string[]) => ({ eval_time: '118h', alertname, exp_alerts: names.map((schedule) => ({ exp_labels: { schedule } })) })
  await writeFile(join(folder, 'test.yaml'), JSON.stringify({
    rule_files: ['alerts.yaml'],
    evaluation_interval: '5m',
    tests: [{ interval: '5m', input_series: input, alert_rule_test: [firing('ScheduleSilent', ['fails now']), firing('ScheduleNeverSucceeds', ['fails', 'hangs'])] }]
  }))
  const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', 'test.yaml'], { cwd: folder, encoding: 'utf8' })
  t.equal(status, 0, `${stdout}${stderr}`)
})

t.test("the guide's registration with credentials lets the right ones in", { skip }, async (t) => {
  const [, registration] = /^```ts\n(import basicAuth.*?)^```$/ms.exec(guide)!
  const printed = await outputOf(t, `import Fastify from 'fastify'
    import backgroundJobs from 'fastify-background-jobs'
    const checkPassword = async (user, password) => { if (password !== 'right') throw new Error('wrong password') }
    const app = Fastify()
    ${registration}
    for (const password of ['wrong', 'right']) {
      const authorization = 'Basic ' + Buffer.from('ada:' + password).toString('base64')
      console.log((await app.inject({ url: '/jobs/admin/dead-letters', headers: { authorization } })).statusCode)
    }
    await app.close()`)
  if (printed !== undefined) t.equal(printed, '401\n200\n')
})

t.test("the guide's payload schema gives the handler what it makes of the payload", { skip }, async (t) => {
  const [, program] = /^```ts\n(import { z } from 'zod'.*?)^```$/ms.exec(guide)!
  const printed = await outputOf(t, `import Fastify from 'fastify'
    import backgroundJobs from 'fastify-background-jobs'
    const app = Fastify()
    await app.register(backgroundJobs)
    ${program}
    await app.ready()
    await app.jobs.idle()
    await app.close()`)
  if (printed !== undefined) t.equal(printed, 'ada@example.com 2026 1\n')
})
