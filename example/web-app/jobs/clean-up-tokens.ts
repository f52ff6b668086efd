import type { FastifyInstance } from 'fastify'

/** Every hour, tokens that have expired are deleted. */
export function scheduleTokenCleanUp (app: FastifyInstance) {
  const cleanUp = app.jobs.define('clean-up-tokens', async (_payload, { diScope, log }) => {
    const { changes } = diScope.resolve('db').prepare('DELETE FROM tokens WHERE expires_at <= ?').run(Date.now())
    log.info({ deleted: Number(changes) }, 'expired tokens are deleted')
  })
  app.jobs.schedule('token-clean-up', { cron: '0 * * * *' }, cleanUp)
}
