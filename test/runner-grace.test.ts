import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { runnerGrace } from '../lib/runner-grace.ts'
import { buildApp } from './helpers/app.ts'
import { plainEnv, root } from './helpers/example.ts'

const cli = '/app/node_modules/fastify-cli/cli.js'
const node = '/usr/bin/node'

t.test('the grace of `fastify start`, from its environment or its default', async (t) => {
  for (const script of [cli, '/app/node_modules/.bin/fastify', '/usr/lib/node_modules/fastify-cli/cli.js', '/usr/local/bin/fastify']) t.equal(runnerGrace([node, script], {}), 500, script)
  t.equal(runnerGrace([node, cli], { FASTIFY_CLOSE_GRACE_DELAY: '40000' }), 40_000)
  t.equal(runnerGrace([node, cli], { FASTIFY_CLOSE_GRACE_DELAY: 'soon' }), 500)
})

t.test('of other runners nothing is known', async (t) => {
  for (const argv of [[node], [node, '/app/server.js'], [node, '/app/fastify/server.js'], []]) t.equal(runnerGrace(argv, {}), undefined)
})

t.test('the warning names the timeout, whoever runs the app', async (t) => {
  const warned = once(process, 'warning') as Promise<[Error & { code: string }]>
  const { argv } = process
  t.teardown(() => { process.argv = argv })
  process.argv = [node, cli]
  const app = await buildApp(t, { shutdown: { timeout: 2000 } })
  await app.ready()
  const [warning] = await warned
  t.match(warning, { code: 'FST_JOBS_SHORT_GRACE', message: /500 ms.*2000 ms.*FASTIFY_CLOSE_GRACE_DELAY=3000/ })
})

/** What `fastify start` prints until the app is ready. */
async function started (t: Test, env: Record<string, string> = {}): Promise<string> {
  const plugin = join(t.testdir(), 'app.mjs')
  await writeFile(plugin, `
    import backgroundJobs from ${JSON.stringify(new URL('../lib/index.ts', import.meta.url).href)}
    export default async function (app, _options) {
      await app.register(backgroundJobs)
      app.addHook('onListen', async () => {
        console.log('listening')
        process.kill(process.pid, 'SIGTERM')
      })
    }
  `)
  const child = spawn(process.execPath, [...process.execArgv.filter((flag) => flag.includes('@tapjs/typescript')), join(root, 'node_modules/fastify-cli/cli.js'), 'start', '--port', '0', plugin], { env: { ...plainEnv, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return output + errors
}

t.test('the app says at its start that `fastify start` would end it before its jobs', async (t) => {
  t.match(await started(t), /FST_JOBS_SHORT_GRACE.*'fastify start' ends the process 500 ms after it was told to stop, unless.*jobs have 30000 ms.*Set FASTIFY_CLOSE_GRACE_DELAY=31000/)
})

t.test('with a longer grace it says nothing', async (t) => {
  const output = await started(t, { FASTIFY_CLOSE_GRACE_DELAY: '31000' })
  t.match(output, /listening/)
  t.notMatch(output, /FST_JOBS_SHORT_GRACE/)
})
