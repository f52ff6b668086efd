import t from 'tap'
import outbox, { sqlite } from '../lib/outbox/index.ts'
import { loadSqlite } from '../lib/node-sqlite.ts'
import { buildApp } from './helpers/app.ts'

t.test('a Node without node:sqlite says which one it takes', async (t) => {
  const cause = new Error('No such built-in module: node:sqlite')
  await t.rejects(loadSqlite(async () => { throw cause }), { code: 'FST_JOBS_NOT_SUPPORTED', message: `SQLite needs Node.js 22.13 or newer, this is ${process.version}; update Node.js or choose another store`, cause })
  if (await import('node:sqlite').then(() => true, () => false)) return
  const app = await buildApp(t)
  await t.rejects(async () => app.register(outbox, { store: sqlite({ path: 'app.db' }), publish: () => {} }), { code: 'FST_JOBS_NOT_SUPPORTED' })
})
