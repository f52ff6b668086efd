import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildApp } from './app.ts'

const { PORT = '3000', SMTP_PORT = '0', DATA_DIR, THUMBNAIL_DELAY_MS = '0' } = process.env

const dataDir = DATA_DIR ?? await mkdtemp(join(tmpdir(), 'background-jobs-'))
const app = await buildApp({
  dataDir,
  smtpPort: Number(SMTP_PORT),
  thumbnailDelay: Number(THUMBNAIL_DELAY_MS)
})

if (DATA_DIR === undefined) app.addHook('onClose', () => rm(dataDir, { recursive: true, force: true }))

// No process.exit: once the app has closed what it opened, nothing keeps Node alive.
for (const name of ['SIGTERM', 'SIGINT'] as const) {
  process.once(name, () => app.close().catch((error) => { console.error(error); process.exitCode = 1 }))
}
try {
  console.log(`listening on ${await app.listen({ host: '127.0.0.1', port: Number(PORT) })}`)
} catch (error) {
  console.error(error)
  process.exitCode = 1
  await app.close()
}
