import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildApp } from './app.ts'

const { PORT = '3000', SMTP_PORT = '0', DATA_DIR, THUMBNAIL_DELAY_MS = '0' } = process.env

const app = await buildApp({
  dataDir: DATA_DIR ?? await mkdtemp(join(tmpdir(), 'background-jobs-')),
  smtpPort: Number(SMTP_PORT),
  thumbnailDelay: Number(THUMBNAIL_DELAY_MS)
})

// No process.exit: once the app has closed what it opened, nothing keeps Node alive.
for (const name of ['SIGTERM', 'SIGINT'] as const) {
  process.once(name, () => app.close().catch((error) => { console.error(error); process.exitCode = 1 }))
}
console.log(`listening on ${await app.listen({ host: '127.0.0.1', port: Number(PORT) })}`)
