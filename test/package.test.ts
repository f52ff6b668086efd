import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { publint } from 'publint'
import t from 'tap'
import typescript from 'typescript'
import { redisSpace } from './helpers/redis.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const temporary = await mkdtemp(join(tmpdir(), 'package-'))
const consumer = join(temporary, 'consumer')
const installed = join(consumer, 'node_modules', 'fastify-background-jobs')

t.setTimeout(600_000)
t.teardown(() => rm(temporary, { recursive: true, force: true }))

// What the package asks for, and what the type check of a consumer needs.
const { dependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { dependencies: Record<string, string> }
const provided = [...Object.keys(dependencies), 'fastify', '@types/node']

const tarball = await pack()
await install()

async function pack (): Promise<string> {
  const scripts = existsSync(join(root, 'dist', 'lib', 'index.js')) ? ['--ignore-scripts'] : []
  await run('npm', ['pack', ...scripts, '--pack-destination', temporary], { cwd: root, env: plainEnvironment() })
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
  return join(temporary, `fastify-background-jobs-${version}.tgz`)
}

async function install (): Promise<void> {
  await mkdir(installed, { recursive: true })
  await run('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1'])
  for (const name of provided) await provide(name)
  await writeFile(join(consumer, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }))
}

async function provide (name: string): Promise<void> {
  const link = join(consumer, 'node_modules', name)
  await mkdir(dirname(link), { recursive: true })
  await symlink(join(root, 'node_modules', name), link)
}

/** The environment without what tap put into it for this process. */
function plainEnvironment (): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(NODE_OPTIONS|NODE_V8_COVERAGE|TAP|_TAPJS)/.test(name)))
}

/** This process's Node, and the one on PATH outside of node_modules where it is another. */
async function nodes (): Promise<Map<string, string>> {
  const found = new Map([[process.version, process.execPath]])
  const outside = (process.env.PATH ?? '').split(delimiter)
    .filter((directory) => !directory.includes('node_modules'))
    .map((directory) => join(directory, 'node'))
    .find((file) => existsSync(file))
  if (outside !== undefined) {
    const version = (await run(outside, ['--version'])).stdout.trim()
    const [major = 0, minor = 0] = version.slice(1).split('.').map(Number)
    if ((major > 20 || (major === 20 && minor >= 19)) && !found.has(version)) found.set(version, outside)
  }
  return found
}

const body = (register: string): string => `
  const app = Fastify()
  await app.register(${register}, { backend: memory() })
  const seen = []
  app.jobs.define('greet', async (payload) => {
    seen.push(payload.name)
    if (payload.name === 'Eve') throw new NonRetryableError('not her')
  })
  await app.ready()
  await app.jobs.enqueue('greet', { name: 'Ada' })
  await app.jobs.enqueue('greet', { name: 'Eve' })
  await app.jobs.idle()
  const dead = await app.jobs.deadLetters.list()
  await app.close()
  console.log(JSON.stringify({ seen, dead: dead.length }))
`

const programs = {
  'import.mjs': `
import Fastify from 'fastify'
import backgroundJobs, { memory, NonRetryableError } from 'fastify-background-jobs'
${body('backgroundJobs')}`,
  'require-named.cjs': `
const Fastify = require('fastify')
const { backgroundJobs, memory, NonRetryableError } = require('fastify-background-jobs')
;(async () => {${body('backgroundJobs')}})()`,
  'require-default.cjs': `
const Fastify = require('fastify')
const { memory, NonRetryableError, ...rest } = require('fastify-background-jobs')
;(async () => {${body('rest.default')}})()`,
  'require-whole.cjs': `
const Fastify = require('fastify')
const { memory, NonRetryableError } = require('fastify-background-jobs')
;(async () => {${body("require('fastify-background-jobs')")}})()`
}

t.test('a consumer runs a job, by import and by require', async (t) => {
  for (const [version, node] of await nodes()) {
    for (const [file, source] of Object.entries(programs)) {
      await writeFile(join(consumer, file), source)
      const { stdout } = await run(node, [file], { cwd: consumer, env: plainEnvironment() })
      t.same(JSON.parse(stdout), { seen: ['Ada', 'Eve'], dead: 1 }, `${file} on Node ${version}`)
    }
  }
})

const outboxBody = `
  const { setTimeout: wait } = await import('node:timers/promises')
  const supported = process.getBuiltinModule?.('node:sqlite') !== undefined
  const app = Fastify()
  await app.register(backgroundJobs)
  const published = []
  const registered = app.register(outbox, { store: sqlite({ path }), every: 5, publish: ({ type }) => { published.push(type) } })
  if (!supported) {
    await registered.then(() => published.push('?'), ({ code }) => published.push(code))
  } else {
    await registered
    await app.ready()
    const { DatabaseSync } = await import('node:sqlite')
    const db = new DatabaseSync(path)
    db.exec('BEGIN')
    app.outbox.add(db, 'order-placed', { id: 1 })
    db.exec('COMMIT')
    db.close()
    while (published.length === 0) await wait(5)
    await app.close()
  }
  console.log(JSON.stringify({ published, supported, postgres: typeof postgres }))
`

const outboxPrograms = {
  'outbox.mjs': `
import Fastify from 'fastify'
import { backgroundJobs } from 'fastify-background-jobs'
import outbox, { postgres, sqlite } from 'fastify-background-jobs/outbox'
const path = process.argv[2]
${outboxBody}`,
  'outbox.cjs': `
const Fastify = require('fastify')
const { backgroundJobs } = require('fastify-background-jobs')
const { outbox, postgres, sqlite } = require('fastify-background-jobs/outbox')
const path = process.argv[2]
;(async () => {${outboxBody}})()`
}

t.test('a consumer relays an event, by import and by require; a Node without SQLite says so', async (t) => {
  for (const [version, node] of await nodes()) {
    for (const [file, source] of Object.entries(outboxPrograms)) {
      await writeFile(join(consumer, file), source)
      const { stdout } = await run(node, [file, join(consumer, `${version}-${file}.db`)], { cwd: consumer, env: plainEnvironment() })
      const { supported, ...found } = JSON.parse(stdout) as { supported: boolean }
      t.same(found, { published: [supported ? 'order-placed' : 'FST_JOBS_NOT_SUPPORTED'], postgres: 'function' }, `${file} on Node ${version}`)
    }
  }
})

const durableBody = (backend: string): string => `
  const app = Fastify()
  const ran = []
  try {
    await app.register(backgroundJobs, { backend: ${backend} })
    app.jobs.define('greet', async ({ name }) => { ran.push(name) })
    await app.ready()
    await app.jobs.enqueue('greet', { name: 'Ada' })
    await app.jobs.idle()
    await app.close()
  } catch ({ code }) {
    ran.push(code)
  }
  console.log(JSON.stringify(ran))
`

/** Both ways to load an entry point of a backend, whose options are the arguments of the program. */
function durablePrograms (entry: string, backend: string): Record<string, string> {
  return {
    [`${entry}.mjs`]: `
import Fastify from 'fastify'
import backgroundJobs from 'fastify-background-jobs'
import { ${entry} } from 'fastify-background-jobs/${entry}'
${durableBody(backend)}`,
    [`${entry}.cjs`]: `
const Fastify = require('fastify')
const { backgroundJobs } = require('fastify-background-jobs')
const { ${entry} } = require('fastify-background-jobs/${entry}')
;(async () => {${durableBody(backend)}})()`
  }
}

t.test('a consumer keeps jobs in SQLite, by import and by require; a Node without it says so', async (t) => {
  for (const [version, node] of await nodes()) {
    for (const [file, source] of Object.entries(durablePrograms('sqlite', 'sqlite({ path: process.argv[2] })'))) {
      await writeFile(join(consumer, file), source)
      const { stdout } = await run(node, [file, join(consumer, `jobs-${version}-${file}.db`)], { cwd: consumer, env: plainEnvironment() })
      t.same(JSON.parse(stdout), [version.startsWith('v20.') ? 'FST_JOBS_NOT_SUPPORTED' : 'Ada'], `${file} on Node ${version}`)
    }
  }
})

t.test('a consumer keeps jobs in Redis, by import and by require, once the engine is installed', async (t) => {
  const redis = await redisSpace(t)
  if (redis === undefined) return
  const programs = Object.entries(durablePrograms('redis', 'redis({ url: process.argv[2], prefix: process.argv[3] })'))
  for (const [file, source] of programs) await writeFile(join(consumer, file), source)
  const withoutEngine = await run(process.execPath, ['redis.mjs'], { cwd: consumer, env: plainEnvironment() }).catch(({ stderr }: { stderr: string }) => stderr)
  t.match(withoutEngine, /Cannot find package '(bullmq|ioredis)'/)
  for (const name of ['bullmq', 'ioredis']) await provide(name)
  for (const [version, node] of await nodes()) {
    for (const [file] of programs) {
      const { stdout } = await run(node, [file, redis.url, redis.prefix], { cwd: consumer, env: plainEnvironment() })
      t.same(JSON.parse(stdout), ['Ada'], `${file} on Node ${version}`)
    }
  }
})

t.test('a consumer runs the conformance suite over a backend of its own, as the docs say', async (t) => {
  const example = join(root, 'example', 'custom-backend')
  await mkdir(join(consumer, 'arrays'), { recursive: true })
  for (const file of ['index', 'array-queue', 'array-consumer', 'delayed-jobs', 'stored-job']) {
    const source = await readFile(join(example, `${file}.ts`), 'utf8')
    const { outputText } = typescript.transpileModule(asInstalled(source), { compilerOptions: { target: typescript.ScriptTarget.ES2023, module: typescript.ModuleKind.ESNext } })
    await writeFile(join(consumer, 'arrays', `${file}.js`), outputText)
  }
  const docs = await readFile(join(root, 'docs', 'writing-a-backend.md'), 'utf8')
  for (const [, file, source] of docs.matchAll(/^```js\n\/\/ (\S+)\n(.*?)^```$/gms)) await writeFile(join(consumer, file!), source!)
  for (const [version, node] of await nodes()) {
    const { stdout } = await run(node, ['--test-reporter=tap', 'conformance.test.js'], { cwd: consumer, env: plainEnvironment() })
    t.match(stdout, /^# pass [1-9]\d+$/m, `on Node ${version}`)
    t.match(stdout, /^# fail 0$/m)
    t.match(stdout, /^# skipped 0$/m)
  }
})

/** With the package's name in place of its folders. */
function asInstalled (source: string): string {
  return source
    .replaceAll("'../../lib/index.ts'", "'fastify-background-jobs'")
    .replaceAll("'../../lib/backends/index.ts'", "'fastify-background-jobs/backend'")
    .replaceAll(/'(\.\/[\w-]+)\.ts'/g, "'$1.js'")
}

t.test("a consumer's types", async (t) => {
  await writeFile(join(consumer, 'module.ts'), `
import Fastify from 'fastify'
import backgroundJobs, { memory, NonRetryableError, poll, type Backend, type JobTypes } from 'fastify-background-jobs'
import outbox, { sqlite, type SqliteTransaction } from 'fastify-background-jobs/outbox'
import { encodePayload, QueueFullError, retryLater, WaitingProducers, type JobEnvelope } from 'fastify-background-jobs/backend'
import { conformance, type ConformanceTarget } from 'fastify-background-jobs/conformance'
import { redis, type RedisOptions } from 'fastify-background-jobs/redis'
import { sqlite as sqliteBackend, type SqliteOptions } from 'fastify-background-jobs/sqlite'

declare module 'fastify-background-jobs' {
  interface JobTypes { 'send-email': { to: string } }
}

const app = Fastify()
await app.register(backgroundJobs, { backend: memory() })
// @ts-expect-error An option that does not exist.
await app.register(backgroundJobs, { queue: {} })
app.jobs.define('send-email', async function (payload, { signal }) {
  const to: string = payload.to
  if (signal.aborted) throw new NonRetryableError(to + this.version)
})
await app.jobs.enqueue('send-email', { to: 'ada@example.org' })
// @ts-expect-error A payload of another type.
await app.jobs.enqueue('send-email', { to: 1 })
// @ts-expect-error A name that is not declared.
await app.jobs.enqueue('send-emial', { to: 'ada@example.org' })
app.get('/', async (request) => request.server.jobs.status())

const resize = app.jobs.define('resize', {
  schema: { type: 'object', required: ['width'], properties: { width: { type: 'integer' } } }
}, async ({ width }) => { const pixels: number = width; return pixels })
await app.jobs.enqueue(resize, { width: 100 })
// @ts-expect-error The definition knows its payload.
await app.jobs.enqueue(resize, { width: 'wide' })

app.jobs.schedule('nightly', { cron: '0 2 * * *', timezone: 'Europe/Berlin' }, resize, { payload: { width: 1 }, missed: 'runOnce' })
app.jobs.service('sync', poll(1000, async ({ signal }) => signal.throwIfAborted()), { onFailure: 'restart' })
app.diContainer.register({})
await app.register(outbox, { store: sqlite({ path: 'app.db' }), job: 'send-email' })
declare const db: SqliteTransaction
const id: string = app.outbox.add(db, 'order-placed', { to: 'ada@example.org' })

await conformance((name: string, run: () => Promise<void>) => run(), new URL('target.js', import.meta.url))
export const connect: ConformanceTarget['connect'] = () => memory()
const redisOptions: RedisOptions = { url: 'redis://127.0.0.1', prefix: 'app' }
const sqliteOptions: SqliteOptions = { path: 'jobs.db', synchronous: 'NORMAL' }
export const backends: Backend[] = [redis(redisOptions), redis({ connection: { host: '127.0.0.1' } }), sqliteBackend(sqliteOptions)]
const text: string = encodePayload('a job', { to: 1 }, 1024)
export const full: Error = retryLater(new QueueFullError('default', 10, ''))

export type Seen = [Backend, JobTypes, typeof id, typeof text, WaitingProducers<number>, JobEnvelope]
`)
  await writeFile(join(consumer, 'common.cts'), `
import Fastify = require('fastify')
import jobs = require('fastify-background-jobs')
const app = Fastify()
app.register(jobs.default)
app.register(jobs.backgroundJobs, { backend: jobs.memory() })
`)
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  for (const [name, resolution, files] of [
    ['nodenext', { module: 'nodenext' }, ['module.ts', 'common.cts']],
    ['bundler', { module: 'preserve', moduleResolution: 'bundler' }, ['module.ts']]
  ] as const) {
    await writeFile(join(consumer, 'tsconfig.json'), JSON.stringify({
      compilerOptions: { target: 'ES2023', lib: ['ES2023'], ...resolution, types: ['node'], strict: true, noEmit: true, skipLibCheck: false },
      files
    }))
    const output = await run(process.execPath, [tsc, '-p', '.'], { cwd: consumer, env: plainEnvironment() })
      .then(({ stdout }) => stdout, (error: { stdout: string }) => error.stdout)
    t.equal(output, '', name)
  }
})

t.test('publint has nothing to say', async (t) => {
  const { messages } = await publint({ pkgDir: installed, pack: false, strict: true })
  t.same(messages, [])
})

// The package is ESM only; require() loads it in every Node it supports, so the profile leaves CommonJS resolution out.
t.test('the types are not wrong', async (t) => {
  const attw = join(root, 'node_modules', '@arethetypeswrong', 'cli', 'dist', 'index.js')
  const output = await run(process.execPath, [attw, tarball, '--profile', 'esm-only', '--no-color'], { env: plainEnvironment() })
    .then(() => '', (error: { stdout: string, stderr: string }) => `${error.stdout}\n${error.stderr}`)
  t.equal(output, '')
})

t.test('the tarball holds what is published and nothing else', async (t) => {
  const files = (await run('tar', ['-tzf', tarball])).stdout.trim().split('\n').map((file) => file.replace(/^package\//, ''))
  t.same(files.filter((file) => !file.startsWith('dist/')).sort(), ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'])
  for (const file of files.filter((file) => file.startsWith('dist/'))) t.match(file, /^dist\/(lib|types|test\/conformance)\/[\w/-]+\.(js|js\.map|d\.ts)$/)
  t.notOk(files.some((file) => /\.(test|tst)\./.test(file)))
})

t.test('the source maps bring their sources', async (t) => {
  const map = JSON.parse(await readFile(join(installed, 'dist', 'lib', 'index.js.map'), 'utf8')) as { sources: string[], sourcesContent?: string[] }
  t.equal(map.sourcesContent?.length, map.sources.length)
  t.match(map.sourcesContent?.[0], /fastify-plugin/)
})
