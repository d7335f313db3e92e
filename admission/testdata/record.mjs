// Records when p-queue begins and ends its tasks, under fake timers: random
// schedules with a fixed seed (traces), schedules with an interval (windows), and
// the cases in which Holdfast decides otherwise on purpose (differences). Run it
// in a folder with
//   npm install p-queue@9.3.5 @sinonjs/fake-timers@15.5.0
//   node record.mjs > p-queue.json
// or `make golden` for all recordings.
//
// A schedule in which a task ends in the very millisecond in which something else
// happens is thrown away: which of the two comes first is luck in both. Random
// schedules keep to few tasks where they have priorities, since Holdfast gives the
// lower ones a share, and to windows of eight, which is how many it lets in at a
// time; bursts come after the window before is over.
import FakeTimers from '@sinonjs/fake-timers'
import { readFileSync } from 'node:fs'

// Not queueMicrotask: p-queue goes on to its next task in one, and a faked one
// would wait for the next timer. Not from 0 on: it takes 0 for the end of a window.
const clock = FakeTimers.install({ now: Date.UTC(2026, 0, 1), toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date'] })
const { default: PQueue } = await import('p-queue')

let seed = 20261124 // mulberry32
const random = () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}
const below = (n) => Math.floor(random() * n)
const pick = (list) => list[below(list.length)]

// run does what acts say: {at, do: add|pause|start|look, took, priority, timeout,
// abort}, and writes into each what the queue was after it (pending, size), and
// into each add when its task started and ended, and how: done, timeout, aborted.
async function run (name, config, acts) {
  const began = Date.now()
  const now = () => Date.now() - began
  const queue = new PQueue(config)
  for (const act of acts) {
    await clock.tickAsync(act.at - now())
    if (act.do === 'pause') queue.pause()
    if (act.do === 'start') queue.start()
    if (act.do === 'add') add(queue, act, now)
    await clock.tickAsync(0)
    act.pending = queue.pending
    act.size = queue.size
  }
  await clock.tickAsync(3600000)
  queue.pause()
  queue.clear()
  clock.reset()
  return { name, config, acts }
}

function add (queue, act, now) {
  const controller = new AbortController()
  if (act.abort !== undefined) setTimeout(() => controller.abort(new Error('aborted')), act.abort - now())
  const options = { priority: act.priority ?? 0, signal: controller.signal }
  if (act.timeout) options.timeout = act.timeout
  const end = (how) => {
    act.ended = now()
    act.how = how
  }
  queue.add(async () => {
    act.started = now()
    await new Promise((resolve) => setTimeout(resolve, act.took))
  }, options).then(() => end('done'), (error) => end(error.message === 'aborted' ? 'aborted' : 'timeout'))
}

function clashes ({ config, acts }) {
  const limit = (a) => a.timeout ?? config.timeout
  const ends = new Set(acts.flatMap((a) => [a.started + a.took, a.started + limit(a)]).filter((end) => end >= 0))
  return acts.some((a) => ends.has(a.at) || ends.has(a.abort) || (a.took && a.took === limit(a)))
}

async function trace (i) {
  const [priorities, most] = pick([[[0], 40], [[0], 40], [[100, 0, -10], 10], [[100, 10, 0, -10], 5]])
  const config = { concurrency: pick([1, 1, 2, 3, 5, 8]) }
  if (random() < 0.3) config.timeout = pick([99, 301, 999])
  if (random() < 0.2) config.autoStart = false
  const acts = []
  let at = 0
  for (let n = 0; n < most; n++) {
    at += 2 * pick([0, 0, 0, 1, 10, below(200)])
    const act = { at, do: 'add', took: 1 + below(pick([20, 400, 1500])) }
    if (priorities.length > 1) act.priority = pick(priorities)
    if (random() < 0.15) act.timeout = pick([51, 501])
    if (random() < 0.15) act.abort = at + 1 + 2 * below(600)
    acts.push(act)
    if (random() < 0.2) acts.push({ at: at + 2 * below(50), do: pick(['pause', 'start', 'look', 'look']) })
  }
  acts.push({ at: at + 2000, do: 'start' })
  for (let n = 0; n < 10; n++) acts.push({ at: 2 * below(at), do: 'look' })
  acts.sort((a, b) => a.at - b.at)
  return run(`random ${i}`, config, acts)
}

async function windows (i) {
  const config = { interval: pick([100, 1000, 60000]), intervalCap: pick([1, 2, 5, 8]) }
  const acts = []
  let at = 0
  for (let bursts = 0; bursts < 4; bursts++) {
    const size = 1 + below(4 * config.intervalCap)
    for (let n = 0; n < size; n++) acts.push({ at, do: 'add', took: 1 + below(50) })
    const full = Math.ceil(size / config.intervalCap) - 1 // windows that leave somebody waiting
    for (let n = 0; full > 0 && n < below(5); n++) acts.push({ at: at + below(full * config.intervalCap), do: 'add', took: 7 })
    at += (full + 8 + below(4)) * config.interval + 1 + below(config.interval)
  }
  acts.sort((a, b) => a.at - b.at)
  return run(`window ${i}`, config, acts)
}

const adds = (n, act) => Array.from({ length: n }, () => ({ at: 0, do: 'add', took: 10, ...act }))

const fixed = {
  'twice the cap begins around the end of a window':
    [{ interval: 1000, intervalCap: 2 }, [...adds(1), { at: 990, do: 'add', took: 5 }, { at: 991, do: 'add', took: 5 }, { at: 992, do: 'add', took: 5 }]]
}

const differences = {
  'a lower priority waits until no higher one is left':
    [{ concurrency: 1 }, [...adds(1), ...adds(25, { priority: 100 }), ...adds(1)]],
  'what was added first goes first, however long it has waited':
    [{ concurrency: 1 }, adds(30, { took: 1000 })],
  'everybody begins at once after a pause':
    [{ autoStart: false }, [...adds(20, { took: 1000 }), { at: 100, do: 'start' }, { at: 101, do: 'look' }]],
  'a window begins where the one before ends, used or not':
    [{ concurrency: 1, interval: 1000, intervalCap: 2 }, [...adds(1), ...adds(1, { took: 1300 }), ...adds(4)]],
  'strict lets no rolling interval have more than the cap':
    [{ strict: true, interval: 1000, intervalCap: 2 }, adds(1).concat([{ at: 990, do: 'add', took: 5 }, { at: 991, do: 'add', took: 5 }, { at: 992, do: 'add', took: 5 }])],
  'carryoverIntervalCount counts what still runs':
    [{ interval: 100, intervalCap: 2, carryoverIntervalCount: true }, adds(6, { took: 150 })],
  'a guard of pending > 50 never refuses':
    [{ concurrency: 4 }, [...adds(120, { took: 30 }), { at: 1, do: 'look' }]]
}

// together is how many tasks ran at once in spite of concurrency: 1, because a
// timeout ends no task.
async function together () {
  let running = 0
  let most = 0
  const task = async () => {
    most = Math.max(most, ++running)
    await new Promise((resolve) => setTimeout(resolve, 100))
    running--
  }
  const queue = new PQueue({ concurrency: 1, timeout: 10 })
  for (let i = 0; i < 3; i++) queue.add(task).catch(() => {})
  await clock.tickAsync(1000)
  clock.reset()
  return most
}

async function many (count, make) {
  const kept = []
  for (let i = 0; kept.length < count; i++) {
    const t = await make(i)
    if (!clashes(t)) kept.push(t)
  }
  return kept
}

const traces = await many(60, trace)
const windowed = await many(30, windows)
for (const [name, [config, acts]] of Object.entries(fixed)) windowed.push(await run(name, config, acts))
const apart = []
for (const [name, [config, acts]] of Object.entries(differences)) apart.push(await run(name, config, acts))
const most = await together()
clock.uninstall()

const types = readFileSync('node_modules/p-queue/dist/options.d.ts', 'utf8')
const index = readFileSync('node_modules/p-queue/dist/index.d.ts', 'utf8')
const unique = (list) => [...new Set(list)].sort()
const options = unique([...types.matchAll(/^ {4}(?:readonly )?([a-zA-Z]+)\?:/gm)].map((m) => m[1]))
const events = unique([...index.match(/EventName = (.*);/)[1].matchAll(/'([a-zA-Z]+)'/g)].map((m) => m[1]))
const members = Object.getOwnPropertyNames(PQueue.prototype).filter((n) => n !== 'constructor')
const version = (name) => JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version
// Arrays, for what is long: [at, do, took, priority, timeout, abort, pending, size, started, ended, how]
const short = (a) => [a.at, a.do, a.took ?? 0, a.priority ?? 0, a.timeout ?? 0, a.abort ?? 0, a.pending, a.size, a.started ?? -1, a.ended ?? -1, a.how ?? '']
const lines = (list) => list.map((t) => JSON.stringify({ ...t, acts: t.acts.map(short) })).join(',\n')
console.log(`{"recorded":{"p-queue":"${version('p-queue')}","@sinonjs/fake-timers":"${version('@sinonjs/fake-timers')}","node":"${process.version}"},
"names":${JSON.stringify({ options, events, members })},
"together":${most},
"traces":[\n${lines(traces)}\n],\n"windows":[\n${lines(windowed)}\n],\n"differences":[\n${lines(apart)}\n]}`)
