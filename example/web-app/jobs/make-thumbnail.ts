import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import sharp from 'sharp'
import { NonRetryableError } from '../../../lib/index.ts'

export const thumbnailSchema = {
  type: 'object',
  required: ['file', 'width'],
  properties: { file: { type: 'string' }, width: { type: 'integer', minimum: 1, maximum: 2000 } }
} as const

export function defineMakeThumbnail (app: FastifyInstance, folder: string, delay: number) {
  return app.jobs.define('make-thumbnail', { schema: thumbnailSchema }, async ({ file, width }, { job, progress }) => {
    progress(10)
    await wait(delay) // for demonstration: the drain has something to wait for
    progress(50)
    const target = join(folder, `${job.id}.jpg`)
    try {
      await sharp(file).resize({ width }).jpeg().toFile(`${target}.part`)
    } catch (error) {
      if (!(error as Error).message.includes('unsupported image format')) throw error
      await rm(file)
      throw new NonRetryableError('what was uploaded is no picture', { cause: error })
    }
    await rename(`${target}.part`, target) // whoever sees the file sees all of it
    await rm(file)
    progress(100)
  })
}
