import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { publint } from 'publint'
import { satisfies } from 'semver'
import t from 'tap'
import typescript from 'typescript'
import { packageIsBuilt } from './helpers/dist.ts'
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
  await packageIsBuilt()
  await run('npm', ['pack', '--ignore-scripts', '--pack-destination', temporary], { cwd: root, env: plainEnvironment() })
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
  return join(temporary, `fastify-background-jobs-${version}.tgz`)
}

async function install (): Promise<void> {
  await mkdir(installed, { recursive: true })
  await run('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1'])
  for (const name of provided) await provide(name)
  await writeFile(join(consumer, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }))
}

async function provide (name: string, folder = join(consumer, 'node_modules')): Promise<void> {
  const link = join(folder, name)
  if (existsSync(link)) return
  await mkdir(dirname(link), { recursive: true })
  await symlink(join(root, 'node_modules', name), link)
}

/** The environment without what tap put into it for this process. */
function plainEnvironment (): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(NODE_OPTIONS|NODE_V8_COVERAGE|TAP|_TAPJS)/.test(name)))
}

const allNodes = await nodes()

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

/** What each of these programs prints on each Node. The programs of one Node run at the same time. */
async function outputs (programs: Readonly<Record<string, string>>, args: (version: string, file: string) => string[] = () => []) {
  const found: { version: string, file: string, output: string }[] = []
  for (const [version, node] of allNodes) {
    found.push(...await Promise.all(Object.entries(programs).map(async ([file, source]) => {
      await writeFile(join(consumer, file), source)
      const { stdout } = await run(node, [file, ...args(version, file)], { cwd: consumer, env: plainEnvironment() })
      return { version, file, output: stdout }
    })))
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
  for (const { version, file, output } of await outputs(programs)) t.same(JSON.parse(output), { seen: ['Ada', 'Eve'], dead: 1 }, `${file} on Node ${version}`)
})

t.test('a consumer without the engine of the Redis backend hears which package is missing', async (t) => {
  await writeFile(join(consumer, 'without-engine.mjs'), "import 'fastify-background-jobs/redis'")
  const failure = await run(process.execPath, ['without-engine.mjs'], { cwd: consumer, env: plainEnvironment() }).catch(({ stderr }: { stderr: string }) => stderr)
  t.match(failure, /Cannot find (module|package) '(bullmq|ioredis)'/)
})

t.test('the import loads little, and an app without metrics loads no prom-client', async (t) => {
  const source = `
const { backgroundJobs } = require('fastify-background-jobs')
const loaded = (name) => Object.keys(require.cache).some((file) => file.includes('/node_modules/' + name + '/'))
const found = ['fastify', 'ajv', 'prom-client', '@fastify/awilix'].filter(loaded)
const Fastify = require('fastify')
;(async () => {
  for (const options of [{ metrics: false }, {}]) {
    const app = Fastify()
    await app.register(backgroundJobs, options)
    await app.close()
    found.push(loaded('prom-client'))
  }
  console.log(JSON.stringify(found))
})()`
  for (const { version, output } of await outputs({ 'lazy.cjs': source })) t.same(JSON.parse(output), [false, true], `on Node ${version}`)
})

t.test('a process that imports and requires the package has one copy of it', async (t) => {
  for (const name of ['bullmq', 'ioredis']) await provide(name)
  const { exports } = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8')) as { exports: object }
  const entries = Object.keys(exports).filter((entry) => entry !== './package.json').map((entry) => `fastify-background-jobs${entry.slice(1)}`)
  const source = `
import { createRequire } from 'node:module'
const require = createRequire(import.meta.url)
const found = {}
for (const entry of ${JSON.stringify(entries)}) {
  const [imported, required] = [await import(entry), require(entry)]
  const names = Object.keys(required)
  found[entry] = names.length > 0 && names.length === Object.keys(imported).length && names.every((name) => imported[name] === required[name])
}
console.log(JSON.stringify(found))`
  for (const { version, output } of await outputs({ 'both.mjs': source })) {
    t.same(JSON.parse(output), Object.fromEntries(entries.map((entry) => [entry, true])), `on Node ${version}`)
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
  for (const { version, file, output } of await outputs(outboxPrograms, (version, file) => [join(consumer, `${version}-${file}.db`)])) {
    const { supported, ...found } = JSON.parse(output) as { supported: boolean }
    t.same(found, { published: [supported ? 'order-placed' : 'FST_JOBS_NOT_SUPPORTED'], postgres: 'function' }, `${file} on Node ${version}`)
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
  const programs = durablePrograms('sqlite', 'sqlite({ path: process.argv[2] })')
  for (const { version, file, output } of await outputs(programs, (version, file) => [join(consumer, `jobs-${version}-${file}.db`)])) {
    t.same(JSON.parse(output), [version.startsWith('v20.') ? 'FST_JOBS_NOT_SUPPORTED' : 'Ada'], `${file} on Node ${version}`)
  }
})

t.test('a consumer keeps jobs in Redis, by import and by require', async (t) => {
  const redis = await redisSpace(t)
  if (redis === undefined) return
  for (const name of ['bullmq', 'ioredis']) await provide(name)
  const programs = durablePrograms('redis', 'redis({ url: process.argv[2], prefix: process.argv[3] })')
  for (const { version, file, output } of await outputs(programs, (version, file) => [redis.url, `${redis.prefix}-${version}-${file}`])) {
    t.same(JSON.parse(output), ['Ada'], `${file} on Node ${version}`)
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
  for (const [version, node] of allNodes) {
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
  const checks = await Promise.all(([
    // The strictest setting: it allows no require of an ES module.
    ['node16', { module: 'node16' }, ['module.ts', 'common.cts']],
    ['bundler', { module: 'preserve', moduleResolution: 'bundler' }, ['module.ts']]
  ] as const).map(async ([name, resolution, files]) => {
    await writeFile(join(consumer, `tsconfig.${name}.json`), JSON.stringify({
      compilerOptions: { target: 'ES2023', lib: ['ES2023'], ...resolution, types: ['node'], strict: true, noEmit: true, skipLibCheck: false },
      files
    }))
    return [name, await run(process.execPath, [tsc, '-p', `tsconfig.${name}.json`], { cwd: consumer, env: plainEnvironment() })
      .then(({ stdout }) => stdout, (error: { stdout: string }) => error.stdout)] as const
  }))
  for (const [name, output] of checks) t.equal(output, '', name)
})

t.test("in pnpm's strict layout an app that has installed @fastify/awilix declares what its scopes hold", async (t) => {
  // Each package sees what it asks for, and the app what the app asks for.
  const app = join(temporary, 'strict')
  const store = join(app, 'node_modules', '.pnpm', 'fastify-background-jobs', 'node_modules')
  await mkdir(store, { recursive: true })
  await cp(installed, join(store, 'fastify-background-jobs'), { recursive: true })
  for (const name of [...Object.keys(dependencies), 'fastify', '@fastify/awilix']) await provide(name, store)
  for (const name of ['fastify', '@fastify/awilix', '@types/node']) await provide(name, join(app, 'node_modules'))
  await symlink(join(store, 'fastify-background-jobs'), join(app, 'node_modules', 'fastify-background-jobs'))
  await writeFile(join(app, 'package.json'), JSON.stringify({ name: 'strict', private: true, type: 'module' }))
  await writeFile(join(app, 'module.ts'), `
import Fastify from 'fastify'
import backgroundJobs from 'fastify-background-jobs'

declare module '@fastify/awilix' {
  interface Cradle { mailer: { send (to: string): void } }
}

const app = Fastify()
await app.register(backgroundJobs, { di: { requestScopes: true } })
app.jobs.define('mail', async (_payload, { diScope }) => {
  diScope.resolve('mailer').send('ada@example.org')
  // @ts-expect-error What nobody declared.
  diScope.resolve('mailer').post('ada@example.org')
})
app.get('/', async (request) => request.diScope.resolve('mailer').send(app.diContainer.resolve('mailer').toString()))
`)
  await writeFile(join(app, 'tsconfig.json'), JSON.stringify({
    compilerOptions: { target: 'ES2023', lib: ['ES2023'], module: 'node16', types: ['node'], strict: true, noEmit: true, skipLibCheck: false }, files: ['module.ts']
  }))
  const output = await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json'], { cwd: app, env: plainEnvironment() })
    .then(({ stdout }) => stdout, (error: { stdout: string }) => error.stdout)
  t.equal(output, '')
})

t.test('publint has nothing to say', async (t) => {
  const { messages } = await publint({ pkgDir: installed, pack: false, strict: true })
  t.same(messages, [])
})

t.test('the types are right for import, for require and for bundlers', async (t) => {
  const attw = join(root, 'node_modules', '@arethetypeswrong', 'cli', 'dist', 'index.js')
  const output = await run(process.execPath, [attw, tarball, '--profile', 'node16', '--no-color'], { env: plainEnvironment() })
    .then(() => '', (error: { stdout: string, stderr: string }) => `${error.stdout}\n${error.stderr}`)
  t.equal(output, '')
})

// jest runs CommonJS unless it is given a flag of Node's.
t.test('jest runs jobs, without a flag', async (t) => {
  for (const name of ['@fastify/awilix', 'bullmq', 'ioredis']) await provide(name)
  const folder = join(consumer, 'jest')
  await mkdir(folder)
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'jest-consumer', private: true }))
  await writeFile(join(folder, 'jobs.test.js'), `
const Fastify = require('fastify')
const { backgroundJobs, memory, NonRetryableError } = require('fastify-background-jobs')
const { QueueFullError } = require('fastify-background-jobs/backend')
const { outbox, sqlite } = require('fastify-background-jobs/outbox')
require('fastify-background-jobs/redis')
const files = require('fastify-background-jobs/sqlite')

test('jobs', async () => {
  const app = Fastify()
  await app.register(backgroundJobs, {
    di: { requestScopes: true },
    queues: { default: { backend: memory() }, small: { capacity: 1, fullMode: 'reject', backend: memory() }, durable: { backend: files.sqlite({ path: __dirname + '/jobs.db' }) } }
  })
  await app.register(outbox, { store: sqlite({ path: __dirname + '/outbox.db' }), publish: () => {} })
  const seen = []
  app.jobs.define('greet', { schema: { type: 'object' } }, async ({ name }) => {
    seen.push(name)
    if (name === 'Eve') throw new NonRetryableError('not her')
  })
  app.jobs.define('store', { queue: 'durable' }, async ({ name }) => { seen.push(name) })
  app.jobs.define('wait', { queue: 'small' }, async () => {})
  app.jobs.schedule('nightly', { cron: '0 2 * * *' }, 'greet', { payload: {} })
  await app.ready()
  await app.jobs.enqueue('greet', { name: 'Ada' })
  await app.jobs.enqueue('greet', { name: 'Eve' })
  await app.jobs.enqueue('store', { name: 'Bob' })
  await app.jobs.idle()
  expect(seen.sort()).toEqual(['Ada', 'Bob', 'Eve'])
  expect(await app.jobs.deadLetters.list()).toHaveLength(1)
  expect(await app.jobs.metrics.registry.metrics()).toMatch(/^jobs_succeeded_total.* 1$/m)
  await app.jobs.pause('small')
  await app.jobs.enqueue('wait', 1)
  await expect(app.jobs.enqueue('wait', 2)).rejects.toBeInstanceOf(QueueFullError)
  await app.close()
})`)
  const jest = join(root, 'node_modules', 'jest', 'bin', 'jest.js')
  const output = await run(process.execPath, [jest, '--ci', '--watchman=false', '--cacheDirectory', join(temporary, 'jest-cache')], { cwd: folder, env: plainEnvironment() })
    .then(() => '', (error: { stderr: string }) => error.stderr)
  t.equal(output, '')
})

/** The files of the tarball. */
async function packedFiles (): Promise<string[]> {
  return (await run('tar', ['-tzf', tarball])).stdout.trim().split('\n').map((file) => file.replace(/^package\//, ''))
}

t.test('the tarball holds what a user needs and nothing else', async (t) => {
  const kinds: readonly [kind: RegExp, atMost: number][] = [
    [/^(CHANGELOG\.md|LICENSE|README\.md|package\.json)$/, 4],
    [/^docs\/[\w-]+\.md$/, 10],
    [/^example\/(README\.md|custom-backend\/[\w-]+\.ts)$/, 10],
    // What runs: an entry point is one file for require and one that names its exports for import.
    [/^dist\/([a-z]+|conformance\/index)\.(cjs|mjs|d\.mts)$/, 18],
    [/^dist\/(internal\/[\w-]+|conformance\/child)\.cjs$/, 8],
    [/^dist\/types\/(lib|types|test\/conformance)\/[\w/-]+\.d\.cts$/, 45]
  ]
  const files = await packedFiles()
  t.same(files.filter((file) => !kinds.some(([kind]) => kind.test(file))), [])
  for (const [kind, atMost] of kinds) t.ok(files.filter((file) => kind.test(file)).length <= atMost, `${kind}: ${files.filter((file) => kind.test(file)).length} files`)
  t.notOk(files.some((file) => /\.(test|tst|map)\b/.test(file)))
})

t.test('what is published is readable and names no file that is not there', async (t) => {
  for (const file of (await packedFiles()).filter((file) => /^dist\/.*\.(cjs|mjs)$/.test(file))) {
    const source = await readFile(join(installed, file), 'utf8')
    t.notMatch(source, /sourceMappingURL|\.ts'/, file)
    t.notMatch(source, root, file)
    for (const [, path] of source.matchAll(/(?:require\(|from )'(\.[^']*)'/g)) t.ok(existsSync(join(installed, dirname(file), path!)), `${file}: ${path}`)
  }
  // Bundlers understand it; those of an ES module's kind they do not.
  t.notMatch(await readFile(join(installed, 'dist', 'internal', 'plugin.cjs'), 'utf8'), /createRequire/)
})

t.test('the links of the README and the documentation lead to what is installed', async (t) => {
  const pages = ['README.md', 'CHANGELOG.md', 'example/README.md', ...(await readdir(join(installed, 'docs'))).map((page) => `docs/${page}`)]
  for (const page of pages) {
    const text = await readFile(join(installed, page), 'utf8')
    for (const [link, path, anchor] of text.replaceAll(/^```.*?^```$/gms, '').matchAll(/\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)/g)) {
      const target = path === '' ? join(installed, page) : join(installed, dirname(page), path!)
      t.ok(existsSync(target), `${page}: ${link}`)
      if (anchor !== undefined) t.ok(anchors(await readFile(target, 'utf8')).includes(anchor), `${page}: ${link}`)
    }
  }
})

/** Of the headings, as repository hosts and npm make them. */
function anchors (text: string): string[] {
  return Array.from(text.matchAll(/^#+ (.*)$/gm), ([, heading]) => heading!.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(' ', '-'))
}

interface LockedPackage {
  readonly dependencies?: Record<string, string>
  readonly peerDependencies?: Record<string, string>
  readonly peerDependenciesMeta?: Record<string, { optional?: boolean }>
  readonly engines?: { node?: string }
}

t.test('every package that comes along runs on the oldest Node that this one supports', async (t) => {
  const { packages } = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as { packages: Record<string, LockedPackage> }
  const paths = new Set([''])
  for (const path of paths) {
    const { dependencies, peerDependencies, peerDependenciesMeta, engines } = packages[path]!
    t.ok(satisfies('20.19.0', engines?.node ?? '*'), `${path === '' ? 'this package' : path}: ${engines?.node}`)
    // What this package only wants beside it, Fastify, is of the app's choice.
    const names = Object.keys(path === '' ? dependencies! : { ...dependencies, ...peerDependencies }).filter((name) => peerDependenciesMeta?.[name]?.optional !== true)
    for (const name of names) paths.add(lockedAt(path, name))
  }

  /** Where Node.js would find it. */
  function lockedAt (from: string, name: string): string {
    const at = `${from === '' ? '' : `${from}/`}node_modules/${name}`
    if (at in packages) return at
    return lockedAt(from.slice(0, Math.max(0, from.lastIndexOf('/node_modules/'))), name)
  }
})
