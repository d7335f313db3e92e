// Records when p-retry makes its attempts, under fake timers, for random options
// with a fixed seed (traces), and the cases in which Holdfast decides otherwise
// on purpose (differences). Run it in a folder with
//   npm install p-retry@7.1.1 @sinonjs/fake-timers@15.5.0
//   node record.mjs > p-retry.json
// or `make golden` for all recordings.
import FakeTimers from '@sinonjs/fake-timers'
import { readFileSync } from 'node:fs'

const clock = FakeTimers.install({ now: 0 })
const { default: pRetry } = await import('p-retry')

let seed = 20261124 // mulberry32
const random = () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}
const below = (n) => Math.floor(random() * n)
const pick = (list) => list[below(list.length)]

const errors = {
  error: () => new Error('the provider broke'),
  network: () => new TypeError('fetch failed'),
  type: () => new TypeError('x is not a function'),
  abort: async () => new (await import('p-retry')).AbortError('never')
}

// record runs p-retry against an action that fails so many times before it works,
// each time after some ms. randoms are what Math.random said.
async function record (name, options, kind, failures, took) {
  const began = Date.now()
  const attempts = []
  const randoms = []
  Math.random = () => { randoms.push(random()); return randoms.at(-1) }
  let end
  const action = async () => {
    attempts.push(Date.now() - began)
    if (took > 0) await new Promise((resolve) => setTimeout(resolve, took))
    if (attempts.length <= failures) throw await errors[kind]()
  }
  pRetry(action, options).then(() => { end = 'worked' }, () => { end = 'failed' })
  await clock.runAllAsync()
  clock.reset()
  return { name, options, kind, failures, took, attempts, randoms, end }
}

async function trace (i) {
  const options = {
    retries: pick([0, 1, 2, 3, 5, 10]),
    minTimeout: pick([1, 100, 500, 1000]),
    randomize: pick([false, true, true])
  }
  if (random() < 0.5) options.maxTimeout = pick([1000, 2000, 30000])
  if (random() < 0.7) options.factor = pick(options.maxTimeout ? [1, 1.5, 2, 3, 10] : [1, 1.5, 2])
  if (random() < 0.3) options.maxRetryTime = pick([1000, 5000, 20000])
  return record(`random ${i}`, options, pick(['error', 'error', 'error', 'network', 'type', 'abort']), pick([0, 1, 2, 4, 99]), 0)
}

const traces = [await record('defaults', {}, 'error', 99, 0)]
for (let i = 0; i < 100; i++) traces.push(await trace(i))
const differences = [
  await record('the last wait is cut so that it ends with maxRetryTime', { minTimeout: 1000, maxRetryTime: 5000 }, 'error', 99, 0),
  await record('a factor below 1 makes waits shorter', { minTimeout: 1000, factor: 0.5, retries: 3 }, 'error', 99, 0),
  await record('without maxTimeout waits grow beyond the hour', { minTimeout: 1000, factor: 10, retries: 5 }, 'error', 99, 0)
]
clock.uninstall()

const types = readFileSync('node_modules/p-retry/index.d.ts', 'utf8')
const body = types.slice(types.indexOf('export type Options = {'))
const options = [...body.slice(0, body.indexOf('\n};')).matchAll(/^\t(?:readonly )?([a-zA-Z]+)\??:/gm)].map((m) => m[1])
const members = [...types.matchAll(/^export (?:default )?(?:class|function|async function) ([a-zA-Z]+)/gm)].map((m) => m[1])
const version = (name) => JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version
const lines = (list) => list.map((t) => JSON.stringify(t)).join(',\n')
console.log(`{"recorded":{"p-retry":"${version('p-retry')}","@sinonjs/fake-timers":"${version('@sinonjs/fake-timers')}","node":"${process.version}"},
"names":${JSON.stringify({ options, members })},
"traces":[\n${lines(traces)}\n],\n"differences":[\n${lines(differences)}\n]}`)
