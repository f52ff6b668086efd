import fastify from 'fastify'
import backgroundJobs from '../../lib/index.ts'

const jobId = 'd9b2d63d-a233-4123-847a-7090b1a6e7a5'
const variant = process.argv[2] as 'bare' | 'registered' | 'enqueueing'
const app = fastify({ logger: false })

if (variant !== 'bare') await app.register(backgroundJobs, { queues: { default: { capacity: 1000, concurrency: 10 } } })
if (variant === 'enqueueing') {
  app.jobs.define('noop', async () => { await null })
  app.post('/with', async (request, reply) => {
    const job = await request.jobs.enqueue('noop', request.body)
    return reply.code(202).send({ jobId: job.id })
  })
}
app.post('/without', async (_request, reply) => reply.code(202).send({ jobId }))

const address = await app.listen({ port: 0, host: '127.0.0.1' })
process.on('disconnect', () => app.close())
process.send!(address)
