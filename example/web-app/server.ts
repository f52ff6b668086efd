import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildApp } from './app.ts'
import { backends } from './backends.ts'

const { ADMIN_PASSWORD = '', PORT = '3000', SMTP_PORT = '0', ORDER_PORT = '3001', DATA_DIR, BACKEND = 'memory', ORDER_SYNC_MS = '5000', THUMBNAIL_DELAY_MS = '0' } = process.env

const dataDir = DATA_DIR ?? await mkdtemp(join(tmpdir(), 'background-jobs-'))
const adminPassword = ADMIN_PASSWORD === '' ? randomBytes(12).toString('hex') : ADMIN_PASSWORD
const { app, orderListener } = await buildApp({
  dataDir,
  adminPassword,
  backend: backends[BACKEND]!(dataDir),
  smtpPort: Number(SMTP_PORT),
  orderPort: Number(ORDER_PORT),
  syncEvery: Number(ORDER_SYNC_MS),
  thumbnailDelay: Number(THUMBNAIL_DELAY_MS),
  logger: { level: 'warn' }
})

if (DATA_DIR === undefined) app.addHook('onClose', () => rm(dataDir, { recursive: true, force: true }))

// No process.exit: once the app has closed what it opened, nothing keeps Node alive.
for (const name of ['SIGTERM', 'SIGINT'] as const) {
  process.once(name, () => app.close().catch((error) => { console.error(error); process.exitCode = 1 }))
}
try {
  await app.ready()
  console.log(`admin routes: user admin, password ${ADMIN_PASSWORD === '' ? adminPassword : 'as in ADMIN_PASSWORD'}`)
  console.log(`cash desks: port ${(orderListener.address() as AddressInfo).port}`)
  console.log(`listening on ${await app.listen({ host: '127.0.0.1', port: Number(PORT) })}`)
} catch (error) {
  console.error(error)
  process.exitCode = 1
  await app.close()
}
