import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { asFunction } from 'awilix'
import Fastify from 'fastify'
import backgroundJobs from '../../lib/index.ts'
import { defineFlakyReport } from './jobs/flaky-report.ts'
import { defineMakeThumbnail } from './jobs/make-thumbnail.ts'
import { defineSendEmail } from './jobs/send-email.ts'
import { startMailServer } from './mail-server.ts'
import { createMailer } from './mailer.ts'
import { mailRoutes } from './routes/mail.ts'
import { reportRoutes } from './routes/reports.ts'
import { thumbnailRoutes } from './routes/thumbnails.ts'

export interface AppOptions { dataDir: string, smtpPort?: number, thumbnailDelay?: number, logger?: boolean }

export async function buildApp ({ dataDir, smtpPort = 0, thumbnailDelay = 0, logger = false }: AppOptions) {
  const uploads = join(dataDir, 'uploads')
  const thumbnails = join(dataDir, 'thumbnails')
  await Promise.all([uploads, thumbnails].map((folder) => mkdir(folder, { recursive: true })))

  const app = Fastify({ logger })
  await app.register(backgroundJobs, { metrics: { path: '/metrics' }, health: { path: '/health' }, routes: { prefix: '/jobs' } })
  const mailServer = await startMailServer(smtpPort)
  app.addHook('onClose', () => mailServer.close())
  app.diContainer.register({ mailer: asFunction(() => createMailer(mailServer.port)).singleton() })

  defineSendEmail(app)
  defineMakeThumbnail(app, thumbnails, thumbnailDelay)
  defineFlakyReport(app)
  mailRoutes(app, mailServer)
  thumbnailRoutes(app, uploads, thumbnails)
  reportRoutes(app)
  return app
}
