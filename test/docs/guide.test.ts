import { readFile } from 'node:fs/promises'
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

t.test("the guide's alerts ask for metrics and labels that there are", async (t) => {
  const app = await buildApp(t)
  await app.ready()
  const metrics = new Map(app.jobs.metrics!.registry.getMetricsAsArray().map((metric) => [metric.name, (metric as unknown as { labelNames: string[] }).labelNames]))
  const [, alerts] = /^```yaml\n(groups:.*?)^```$/ms.exec(guide)!
  for (const [, aggregated, labels, name] of alerts!.matchAll(/(?:(max|min|sum) by \(([\w, ]+)\) \((?:increase\()?)?(jobs_\w+)/g)) {
    t.ok(metrics.has(name!), `there is ${name}`)
    t.ok(aggregated !== undefined, `${name}: instances share a queue`)
    for (const label of labels!.split(', ')) t.ok(metrics.get(name!)!.includes(label), `${name} has the label ${label}`)
  }
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
