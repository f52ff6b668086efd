import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { runnerGrace } from '../lib/runner-grace.ts'
import { plainEnv, root } from './helpers/example.ts'

const cli = '/app/node_modules/fastify-cli/cli.js'
const node = '/usr/bin/node'

t.test('the grace of `fastify start`, from its arguments, its environment or its default', async (t) => {
  for (const [argv, env, grace] of [
    [['start', 'app.js'], {}, 500],
    [['start', '-g', '20000', 'app.js'], {}, 20_000],
    [['start', '--close-grace-delay=31000', '-w', 'app.js'], {}, 31_000],
    [['start', 'app.js'], { FASTIFY_CLOSE_GRACE_DELAY: '40000' }, 40_000],
    [['start', '-g', 'soon', 'app.js'], {}, 500],
    [['start', '-g'], {}, 500]
  ] as const) {
    t.same(runnerGrace([node, cli, ...argv], env), { runner: 'fastify start', grace, option: '--close-grace-delay' }, argv.join(' '))
  }
  t.ok(runnerGrace([node, '/app/node_modules/.bin/fastify', 'start'], {}))
  t.ok(runnerGrace([node, '/usr/lib/node_modules/fastify-cli/cli.js', 'start'], {}))
  t.ok(runnerGrace([node, '/usr/local/bin/fastify', 'start'], {}))
})

t.test('of other runners nothing is known', async (t) => {
  for (const argv of [[node], [node, '/app/server.js', '-g', '5'], [node, '/app/fastify/server.js'], []]) t.equal(runnerGrace(argv, {}), undefined)
})

/** What `fastify start` prints until the app is ready. */
async function started (t: Test, ...args: string[]): Promise<string> {
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
  const child = spawn(process.execPath, [...process.execArgv.filter((flag) => flag.includes('@tapjs/typescript')), join(root, 'node_modules/fastify-cli/cli.js'), 'start', '--port', '0', ...args, plugin], { env: plainEnv, stdio: ['ignore', 'pipe', 'pipe'] })
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return output + errors
}

t.test('the app says at its start that `fastify start` would end it before its jobs', async (t) => {
  t.match(await started(t), /FST_JOBS_SHORT_GRACE.*'fastify start' ends the process 500 ms after it was told to stop, before the 30000 ms.*Raise --close-grace-delay/)
})

t.test('with a longer grace it says nothing', async (t) => {
  const output = await started(t, '--close-grace-delay', '40000')
  t.match(output, /listening/)
  t.notMatch(output, /FST_JOBS_SHORT_GRACE/)
})
