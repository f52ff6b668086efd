import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { root } from '../helpers/child.ts'
import { outputOf, programsOf } from '../helpers/programs.ts'

const [fromMemory] = await programsOf('docs/backends.md')
const IMPORT = "import { redis } from 'fastify-background-jobs/redis'"
const BACKEND = 'redis({ url: process.env.REDIS_URL, prefix: process.env.REDIS_PREFIX })'

const alternatives = {
  redis: [IMPORT, BACKEND],
  sqlite: ["import { sqlite } from 'fastify-background-jobs/sqlite'", "sqlite({ path: 'jobs.db' })"],
  memory: ["import { memory } from 'fastify-background-jobs'", 'memory()']
} as const
for (const [name, [line, backend]] of Object.entries(alternatives)) {
  t.test(`it prints the same on ${name}`, async (t) => {
    t.ok(fromMemory!.code.includes(IMPORT) && fromMemory!.code.includes(BACKEND))
    const path = join(t.testdir(), 'jobs.db')
    const printed = await outputOf(t, fromMemory!.code.replace(IMPORT, line).replace(BACKEND, backend).replace('jobs.db', path))
    if (printed !== undefined) t.equal(printed, fromMemory!.output)
  })
}

t.test('the registration with a backend a queue works', async (t) => {
  const [registration] = /(?<=^```ts\n)await app\.register.*?(?=^```$)/ms.exec(await readFile(join(root, 'docs/backends.md'), 'utf8'))!
  const printed = await outputOf(t, `import Fastify from 'fastify'
    import backgroundJobs, { memory } from 'fastify-background-jobs'
    import { redis } from 'fastify-background-jobs/redis'
    import { sqlite } from 'fastify-background-jobs/sqlite'
    const app = Fastify()
    ${registration.replace('./data', t.testdir()).replace('REDIS_URL }', 'REDIS_URL, prefix: process.env.REDIS_PREFIX }')}
    await app.ready()
    console.log(Object.keys((await app.jobs.status()).queues).sort().join(' '))
    await app.close()`)
  if (printed !== undefined) t.equal(printed, 'analytics default emails thumbnails\n')
})
