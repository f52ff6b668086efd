import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { createTable as onPostgres } from '../../lib/outbox/postgres-sql.ts'
import { createTable as onSqlite } from '../../lib/outbox/sqlite-sql.ts'
import { buildApp } from '../helpers/app.ts'
import { root } from '../helpers/example.ts'

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
