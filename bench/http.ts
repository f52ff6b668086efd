import { execFile, fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { printTable, type Target } from './report.ts'
import { median } from './rounds.ts'
import type { Settings } from './settings.ts'

const CONNECTIONS = 50
const WITHOUT_MINIMUM = 0.97
const WITH_MINIMUM = 0.9

const run = promisify(execFile)
const child = fileURLToPath(new URL('children/server.ts', import.meta.url))
const script = fileURLToPath(new URL('post.lua', import.meta.url))

interface Server {
  process: ChildProcess
  origin: string
}

async function startServer (variant: 'bare' | 'registered' | 'enqueueing'): Promise<Server> {
  const process = fork(child, [variant])
  const [origin] = await once(process, 'message') as [string]
  return { process, origin }
}

async function stopServer ({ process }: Server) {
  process.disconnect()
  await once(process, 'exit')
}

/** Requests a second. */
async function load (url: string, duration: number) {
  const { stdout } = await run('wrk', ['-t', '1', '-c', String(CONNECTIONS), '-d', `${duration}s`, '-s', script, url])
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`wrk saw failures at ${url}:\n${stdout}`)
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)![1])
}

async function hasWrk () {
  try {
    await run('wrk', ['--version'])
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT'
  }
}

/** A route without an enqueue, in an app that merely registers the plugin, and one with an enqueue; both compared with the same route in an app that has not registered it. */
export async function http (settings: Settings): Promise<Target[]> {
  if (!await hasWrk()) {
    console.log('\nHTTP: not measured, wrk is not installed (apt-get install wrk)')
    return []
  }
  const servers = [await startServer('registered'), await startServer('enqueueing'), await startServer('bare')] as const
  const urls = [`${servers[0].origin}/without`, `${servers[1].origin}/with`, `${servers[2].origin}/without`] as const
  const rates: [number[], number[], number[]] = [[], [], []]
  for (const url of urls) await load(url, settings.httpDuration)
  for (let round = 0; round < settings.httpRounds; round++) {
    for (const [index, url] of urls.entries()) rates[index]!.push(await load(url, settings.httpDuration))
  }
  await Promise.all(servers.map(stopServer))

  const [without, enqueue, bare] = rates
  const ratios = [without, enqueue].map((rates) => rates.map((rate, round) => rate / bare[round]!)) as [number[], number[]]
  printTable(`HTTP: POST at ${CONNECTIONS} connections, requests a second (median of ${settings.httpRounds} rounds)`,
    ['', 'without enqueue', 'with enqueue', 'no plugin'],
    [['requests/s', ...[without, enqueue, bare].map((rate) => median(rate).toFixed(0))]])
  const names = ['http: a route without an enqueue / the same route in an app without the plugin', 'http: a route with an enqueue / the same route in an app without the plugin']
  for (const [index, name] of names.entries()) console.log(`${name}, each round: ${ratios[index]!.map((value) => value.toFixed(2)).join(' ')}`)
  return [WITHOUT_MINIMUM, WITH_MINIMUM].map((min, index) => ({ name: names[index]!, value: median(ratios[index]!), wanted: { min } }))
}
