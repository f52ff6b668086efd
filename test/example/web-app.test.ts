import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import sharp from 'sharp'
import t, { type Test } from 'tap'
import '../helpers/file-timeout.ts'
import { until as waitUntil } from '../conformance/until.ts'
import { startExample } from '../helpers/example.ts'
import { redisSpace } from '../helpers/redis.ts'

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
const skip = (major > 22 || (major === 22 && minor >= 18)) ? false : 'type stripping needs Node >= 22.18'

/** Asks until the answer is what is waited for. */
async function eventually (ask: () => Promise<any>, isIt: (answer: any) => boolean): Promise<any> {
  let answer: any
  await waitUntil(`${isIt}`, async () => isIt(answer = await ask()))
  return answer
}

const redis = await redisSpace(t)

const settingsOf: Record<string, Record<string, string>> = {
  memory: {},
  sqlite: {},
  ...(redis && { redis: { REDIS_URL: redis.url, REDIS_PREFIX: redis.prefix } })
}

for (const [backend, settings] of Object.entries(settingsOf)) {
  t.test(`on ${backend}, the web app mails, makes thumbnails, keeps dead letters, takes orders, cleans up, reports and drains on SIGTERM`, { skip }, async (t) => {
    await story(t, { BACKEND: backend, ...settings })
  })
}

t.test('the admin routes want the password, also from behind a reverse proxy on the same host', { skip }, async (t) => {
  const { admin, base } = await startExample(t)
  const proxied = await startProxy(t, base)
  const wrong = { authorization: `Basic ${Buffer.from('admin:wrong').toString('base64')}` }
  for (const origin of [proxied, base]) {
    const strangers: Record<string, string>[] = [{}, wrong, { 'x-forwarded-for': '127.0.0.1' }, { forwarded: 'for=127.0.0.1', 'x-real-ip': '127.0.0.1' }]
    for (const headers of strangers) {
      const refused = await fetch(`${origin}/jobs/admin/dead-letters`, { headers })
      t.equal(refused.status, 401, `${origin === base ? 'direct' : 'proxied'} ${JSON.stringify(headers)}`)
      t.match(refused.headers.get('www-authenticate'), /^Basic/)
      t.equal((await fetch(`${origin}/jobs/admin/queues/default/pause`, { method: 'POST', headers })).status, 401)
    }
    const letIn = await fetch(`${origin}/jobs/admin/dead-letters`, { headers: { authorization: admin.authorization } })
    t.equal(letIn.status, 200)
    t.same(await letIn.json(), [])
  }
  t.match(await (await fetch(`${base}/jobs/status`)).json(), { queues: { default: { paused: false } } })
})

t.test('the password of the admin routes is that of ADMIN_PASSWORD, otherwise a new one at every start', { skip }, async (t) => {
  const given = await startExample(t, { ADMIN_PASSWORD: 'correct horse: battery' })
  t.equal((await fetch(`${given.base}/jobs/admin/dead-letters`, { headers: { authorization: given.admin.authorization } })).status, 200)
  const [first, second] = await Promise.all([startExample(t, { ADMIN_PASSWORD: '' }), startExample(t)])
  for (const { base } of [first, second]) {
    t.equal((await fetch(`${base}/jobs/admin/dead-letters`, { headers: { authorization: `Basic ${Buffer.from('admin:').toString('base64')}` } })).status, 401)
  }
  t.match(first.admin.password, /^[0-9a-f]{24}$/)
  t.match(second.admin.password, /^[0-9a-f]{24}$/)
  t.not(first.admin.password, second.admin.password)
})

/** A reverse proxy on this host, as nginx would be one: it says in a header where a request came from. */
async function startProxy (t: Test, base: string): Promise<string> {
  const proxy = createServer((incoming, outgoing) => {
    const headers = { ...incoming.headers, 'x-forwarded-for': ['203.0.113.7', incoming.headers['x-forwarded-for']].flat().filter(Boolean).join(', ') }
    const forwarded = request(base + incoming.url, { method: incoming.method!, headers }, (response) => {
      outgoing.writeHead(response.statusCode!, response.headers)
      response.pipe(outgoing)
    })
    forwarded.on('error', () => outgoing.destroy())
    incoming.pipe(forwarded)
  })
  t.teardown(() => { proxy.closeAllConnections(); proxy.close() })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  return `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
}

async function story (t: Test, settings: Record<string, string>): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'web-app-'))
  t.teardown(() => rm(dataDir, { recursive: true, force: true }))
  const { admin, base, orderPort, stop } = await startExample(t, { ...settings, DATA_DIR: dataDir, ORDER_SYNC_MS: '50', THUMBNAIL_DELAY_MS: '1500' })
  t.ok(base, 'the server says where it listens')

  const json = async (path: string): Promise<any> => (await fetch(base + path)).json()
  const run = (schedule: string) => fetch(`${base}/jobs/admin/schedules/${schedule}/run`, { method: 'POST', headers: { authorization: admin.authorization } })
  const post = (path: string, body?: unknown) => fetch(base + path, {
    method: 'POST',
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  })
  const until = (id: string, done: (job: any) => boolean) => eventually(() => json(`/jobs/${id}`), done)

  t.equal((await fetch(`${base}/health/ready`)).status, 200)

  const sent = await post('/send-email', { to: 'ann@example.com', subject: 'Hello', text: 'From a job' })
  const mail: any = await sent.json()
  t.equal(sent.status, 202)
  t.equal(sent.headers.get('location'), `/jobs/${mail.jobId}`)
  await until(mail.jobId, (job) => job.state === 'succeeded')
  t.match(await json('/mailbox'), [{ to: ['ann@example.com'], subject: 'Hello', text: /^From a job\s*$/ }])
  t.equal((await post('/send-email', { to: 'nobody' })).status, 400)
  t.equal((await post('/thumbnails', { not: 'a picture' })).status, 415)

  const picture = await sharp({
    create: { width: 2000, height: 1500, channels: 3, background: 'white', noise: { type: 'gaussian', mean: 128, sigma: 30 } }
  }).jpeg().toBuffer()
  const send = (width: string) => fetch(`${base}/thumbnails?width=${width}`, {
    method: 'POST', headers: { 'content-type': 'image/jpeg' }, body: new Uint8Array(picture)
  })
  for (const width of ['Infinity', '-Infinity', '2001']) t.equal((await send(width)).status, 400, width)
  const upload = async (): Promise<string> => {
    const response = await send('320')
    t.equal(response.status, 202)
    return ((await response.json()) as any).jobId
  }
  const thumbnail = await upload()
  await until(thumbnail, (job) => job.state === 'active' && job.progress === 10)
  t.equal((await fetch(`${base}/thumbnails/${thumbnail}`)).status, 404)
  // On Redis what a handler reported may be stored after its outcome.
  await until(thumbnail, (job) => job.state === 'succeeded' && job.progress === 100)
  const download = await fetch(`${base}/thumbnails/${thumbnail}`)
  t.match(await sharp(Buffer.from(await download.arrayBuffer())).metadata(), { format: 'jpeg', width: 320, height: 240 })

  const report: any = await (await post('/flaky-report')).json()
  t.equal((await until(report.jobId, (job) => job.state === 'dead')).attempt, 3)
  t.match(await json('/failed-reports'), [{ id: report.jobId, name: 'flaky-report' }])

  t.same(await (await post('/orders', { email: 'bob@example.com', item: 'tea' })).json(), { orderId: 1 })
  t.equal((await post('/orders', { email: 'nobody', item: 'tea' })).status, 400)
  const desk = connect(orderPort, '127.0.0.1').setEncoding('utf8')
  const answers = createInterface({ input: desk })[Symbol.asyncIterator]()
  desk.write('carl@example.com two loaves of bread\n')
  t.same(await answers.next(), { done: false, value: '2' })
  desk.write('nonsense\n')
  t.match(await answers.next(), { value: /^error/ })
  desk.write(`${'a'.repeat(300)}@example.com tea\n`)
  t.match(await answers.next(), { value: /^error/ }, 'an address that the outbox refuses is an answer, not the end')
  desk.write('a'.repeat(10_000))
  t.same(await answers.next(), { done: true, value: undefined }, 'a line without an end is not kept')
  await writeFile(join(dataDir, 'orders', 'a.part'), JSON.stringify({ email: 'dora@example.com', item: 'milk' }))
  await rename(join(dataDir, 'orders', 'a.part'), join(dataDir, 'orders', 'a.json'))
  await writeFile(join(dataDir, 'orders', 'b.json'), 'no JSON')
  const mailed = (name: string) => eventually(() => json('/mailbox'), (mails: any[]) => mails.some(({ to }) => to[0] === `${name}@example.com`))
  for (const name of ['bob', 'carl', 'dora']) await mailed(name)
  t.same((await json('/orders')).map(({ source }: any) => source), ['http', 'tcp', 'file'])
  t.match((await json('/mailbox')).filter(({ to }: any) => to[0] === 'carl@example.com'), [{ subject: 'Your order 2', text: /two loaves of bread/ }])
  await eventually(() => readdir(join(dataDir, 'orders', 'failed')).catch(() => []), (files: string[]) => files.includes('b.json'))
  t.same(await readdir(join(dataDir, 'orders', 'done')), ['a.json'])

  t.equal((await post('/tokens?seconds=Infinity')).status, 400)
  await post('/tokens?seconds=0')
  await post('/tokens')
  t.same(await json('/tokens'), { count: 2 })
  t.equal((await run('token-clean-up')).status, 202)
  t.ok(await eventually(() => json('/tokens'), ({ count }: any) => count === 1))
  t.equal((await run('daily-report')).status, 202)
  await mailed('boss')
  t.match((await json('/mailbox')).at(-1), { subject: /^Report of \d+ \w+ \d{4}$/, text: /^Orders: 3\s*$/ })
  t.match(await json('/jobs/status'), {
    schedules: { 'token-clean-up': { nextRun: /:00:00.000Z$/ }, 'daily-report': { timezone: 'Europe/Berlin', nextRun: /T0[01]:00:00.000Z$/ } },
    services: { outbox: { state: 'running' }, 'order-sync': { state: 'running' }, 'order-listener': { state: 'running' } }
  })

  t.match(await (await fetch(`${base}/metrics`)).text(), /jobs_succeeded_total\{[^}]*\} \d/)
  t.match(await json('/jobs/status'), { isRunning: true, isStopping: false })

  const last = await upload()
  await until(last, (job) => job.state === 'active')
  t.strictSame(await stop(), [0, null], 'it exits by itself')
  t.match(await sharp(await readFile(join(dataDir, 'thumbnails', `${last}.jpg`))).metadata(), { format: 'jpeg', width: 320 })
}
