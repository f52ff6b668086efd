import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import sharp from 'sharp'
import t from 'tap'
import { startExample } from '../helpers/example.ts'

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
const skip = (major > 22 || (major === 22 && minor >= 18)) ? false : 'type stripping needs Node >= 22.18'

t.test('the web app mails, makes thumbnails, keeps dead letters and drains on SIGTERM', { skip }, async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'web-app-'))
  t.teardown(() => rm(dataDir, { recursive: true, force: true }))
  const { base, stop } = await startExample(t, { DATA_DIR: dataDir, THUMBNAIL_DELAY_MS: '800' })
  t.ok(base, 'the server says where it listens')

  const json = async (path: string): Promise<any> => (await fetch(base + path)).json()
  const post = (path: string, body?: unknown) => fetch(base + path, {
    method: 'POST',
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  })
  async function until (id: string, done: (job: any) => boolean) {
    const deadline = Date.now() + 15_000
    for (;;) {
      const job = await json(`/jobs/${id}`)
      if (done(job)) return job
      if (Date.now() > deadline) throw new Error(`timed out: ${JSON.stringify(job)}`)
      await wait(20)
    }
  }

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
  const upload = async (): Promise<string> => {
    const response = await fetch(`${base}/thumbnails?width=320`, {
      method: 'POST', headers: { 'content-type': 'image/jpeg' }, body: new Uint8Array(picture)
    })
    t.equal(response.status, 202)
    return ((await response.json()) as any).jobId
  }
  const thumbnail = await upload()
  await until(thumbnail, (job) => job.state === 'active' && job.progress === 10)
  t.equal((await fetch(`${base}/thumbnails/${thumbnail}`)).status, 404)
  t.equal((await until(thumbnail, (job) => job.state === 'succeeded')).progress, 100)
  const download = await fetch(`${base}/thumbnails/${thumbnail}`)
  t.match(await sharp(Buffer.from(await download.arrayBuffer())).metadata(), { format: 'jpeg', width: 320, height: 240 })

  const report: any = await (await post('/flaky-report')).json()
  t.equal((await until(report.jobId, (job) => job.state === 'dead')).attempt, 3)
  t.match(await json('/failed-reports'), [{ id: report.jobId, name: 'flaky-report' }])

  t.match(await (await fetch(`${base}/metrics`)).text(), /jobs_succeeded_total\{[^}]*\} \d/)
  t.match(await json('/jobs/status'), { isRunning: true, isStopping: false })

  const last = await upload()
  await until(last, (job) => job.state === 'active')
  t.strictSame(await stop(), [0, null], 'it exits by itself')
  t.match(await sharp(await readFile(join(dataDir, 'thumbnails', `${last}.jpg`))).metadata(), { format: 'jpeg', width: 320 })
})
