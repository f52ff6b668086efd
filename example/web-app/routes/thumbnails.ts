import { randomUUID } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { access, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Transform, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { FastifyInstance } from 'fastify'

const MAX_BYTES = 20 * 1024 * 1024

function limit () {
  let bytes = 0
  return new Transform({
    transform (chunk, _encoding, done) {
      bytes += chunk.length
      if (bytes > MAX_BYTES) done(Object.assign(new Error('The picture is larger than 20 MiB'), { statusCode: 413 }))
      else done(null, chunk)
    }
  })
}

export function thumbnailRoutes (app: FastifyInstance, uploads: string, thumbnails: string) {
  app.addContentTypeParser(/^image\/(jpeg|png|webp|avif|gif)$/, (_request, body, done) => done(null, body))

  app.post<{ Querystring: { width: number } }>('/thumbnails', {
    bodyLimit: MAX_BYTES,
    schema: {
      querystring: { type: 'object', properties: { width: { type: 'integer', minimum: 1, maximum: 2000, default: 200 } } }
    }
  }, async (request, reply) => {
    if (!request.headers['content-type']?.startsWith('image/')) return reply.code(415).send({ message: 'Send a picture' })
    const file = join(uploads, randomUUID())
    try {
      await pipeline(request.body as Readable, limit(), createWriteStream(file))
      const job = await request.jobs.enqueue('make-thumbnail', { file, width: request.query.width })
      return reply.code(202).header('location', `/jobs/${job.id}`).send({ jobId: job.id })
    } catch (error) {
      await rm(file, { force: true })
      throw error
    }
  })

  app.get<{ Params: { jobId: string } }>('/thumbnails/:jobId', {
    schema: { params: { type: 'object', properties: { jobId: { type: 'string', pattern: '^[\\w-]+$' } } } }
  }, async (request, reply) => {
    const file = join(thumbnails, `${request.params.jobId}.jpg`)
    try { await access(file) } catch { return reply.code(404).send({ message: 'No such thumbnail (yet)' }) }
    return reply.type('image/jpeg').send(createReadStream(file))
  })
}
