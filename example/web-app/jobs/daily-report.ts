import type { FastifyInstance } from 'fastify'

const DAY = 24 * 60 * 60 * 1000
const timezone = 'Europe/Berlin'

/** At two in the morning, Berlin time, the boss gets a mail. */
export function scheduleDailyReport (app: FastifyInstance) {
  const report = app.jobs.define('daily-report', async (_payload, { job, signal, diScope }) => {
    // When the report was due, whenever it is run: a retry reports on the same day.
    const dueAt = job.schedule!.at
    const orders = diScope.resolve('orders').countSince(dueAt - DAY)
    const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'long', timeZone: timezone }).format(dueAt)
    await diScope.resolve('mailer').send({ to: 'boss@example.com', subject: `Report of ${day}`, text: `Orders: ${orders}` }, { signal })
  })
  app.jobs.schedule('daily-report', { cron: '0 2 * * *', timezone }, report, { missed: 'runOnce' })
}
