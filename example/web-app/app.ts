import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { asFunction, asValue } from 'awilix'
import Fastify, { type FastifyServerOptions } from 'fastify'
import backgroundJobs, { memory, type Backend } from '../../lib/index.ts'
import { addAdminLogin } from './admin.ts'
import { openDatabase } from './database.ts'
import { scheduleTokenCleanUp } from './jobs/clean-up-tokens.ts'
import { scheduleDailyReport } from './jobs/daily-report.ts'
import { defineFlakyReport } from './jobs/flaky-report.ts'
import { defineMakeThumbnail } from './jobs/make-thumbnail.ts'
import { defineSendEmail } from './jobs/send-email.ts'
import { startMailServer } from './mail-server.ts'
import { createMailer } from './mailer.ts'
import { OrderBook } from './orders.ts'
import { addOutbox } from './outbox.ts'
import { mailRoutes } from './routes/mail.ts'
import { orderRoutes } from './routes/orders.ts'
import { reportRoutes } from './routes/reports.ts'
import { thumbnailRoutes } from './routes/thumbnails.ts'
import { tokenRoutes } from './routes/tokens.ts'
import { addOrderListener } from './services/order-listener.ts'
import { addOrderSync } from './services/order-sync.ts'

export interface AppOptions { dataDir: string, adminPassword: string, backend?: Backend, smtpPort?: number, orderPort?: number, syncEvery?: number, thumbnailDelay?: number, logger?: FastifyServerOptions['logger'] }

export async function buildApp ({ dataDir, adminPassword, backend = memory(), smtpPort = 0, orderPort = 0, syncEvery = 5000, thumbnailDelay = 0, logger = false }: AppOptions) {
  const [uploads, thumbnails, inbox] = ['uploads', 'thumbnails', 'orders'].map((folder) => join(dataDir, folder)) as [string, string, string]
  await Promise.all([uploads, thumbnails, inbox].map((folder) => mkdir(folder, { recursive: true })))

  // Otherwise Ajv lets the text 'Infinity' pass the maximum of a number.
  const app = Fastify({ logger, ajv: { customOptions: { strictNumbers: false } } })
  await addAdminLogin(app, adminPassword)
  await app.register(backgroundJobs, {
    backend,
    metrics: { path: '/metrics' },
    health: { path: '/health' },
    routes: { prefix: '/jobs' },
    admin: { authorize: app.basicAuth } // in production: over HTTPS, or your own sessions, tokens or roles
  })
  const mailServer = await startMailServer(smtpPort)
  app.addHook('onClose', () => mailServer.close())
  const database = join(dataDir, 'app.db')
  const db = openDatabase(database)
  app.addHook('onClose', () => db.close())
  await addOutbox(app, database)
  app.diContainer.register({
    db: asValue(db),
    mailer: asFunction(() => createMailer(mailServer.port)).singleton(),
    orders: asFunction(() => new OrderBook(db, app.outbox)).singleton()
  })

  defineSendEmail(app)
  defineMakeThumbnail(app, thumbnails, thumbnailDelay)
  defineFlakyReport(app)
  scheduleTokenCleanUp(app)
  scheduleDailyReport(app)
  addOrderSync(app, inbox, syncEvery)
  const orderListener = addOrderListener(app, orderPort)
  mailRoutes(app, mailServer)
  thumbnailRoutes(app, uploads, thumbnails)
  reportRoutes(app)
  orderRoutes(app)
  tokenRoutes(app, db)
  return { app, orderListener }
}
