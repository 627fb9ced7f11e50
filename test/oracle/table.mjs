// SPDX-License-Identifier: MIT
//
// table.mjs - the table of hops, measured on this engine.
//
//     node table.mjs test_order.c
//
// At which step of a ladder of thens, begun just before, does a handler run
// that is added to a promise?  test_order.c writes the number out for each kind
// of promise, as ORDER(name, hops here, hops in the usual order), and the log
// of whole programs as ORDER_LOG.  Each name is measured here, and has to be
// what stands there.
import fs from 'node:fs';

const one = () => Promise.resolve(1);
const bad = () => Promise.reject(new Error('bad'));
const follow = x => new Promise(resolve => resolve(x));
const thenable = x => ({ then: resolve => resolve(x) });
const fail = () => {
	throw new Error('fail');
};

const rows = {
	a_resolved_promise: () => one(),
	a_rejected_promise: () => bad(),
	all_of_nothing: () => Promise.all([]),
	all_settled_of_nothing: () => Promise.allSettled([]),
	any_of_nothing: () => Promise.any([]),

	a_then_that_returns_a_value: () => one().then(() => 2),
	a_then_that_fails: () => one().then(fail),
	a_then_with_no_handler: () => one().then(),
	a_catch_that_returns_a_value: () => bad().catch(() => 2),
	a_value_that_passes_a_catch: () => one().catch(() => 2),
	a_rejection_that_passes_a_then: () => bad().then(() => 2),
	a_promise_resolved_with_a_thenable: () => follow(thenable(1)),
	a_finally_that_fails: () => one().finally(fail),
	all_of_one_value: () => Promise.all([one()]),
	all_of_one_rejection: () => Promise.all([bad()]),
	all_settled_of_one_rejection: () => Promise.allSettled([bad()]),
	any_of_one_value: () => Promise.any([one()]),
	any_of_one_rejection: () => Promise.any([bad()]),
	race_of_one_value: () => Promise.race([one()]),

	a_promise_that_follows_another: () => follow(one()),
	a_promise_that_follows_one_settled_later: () => {
		let settle;
		const p = follow(new Promise(resolve => settle = resolve));
		settle(1);
		return p;
	},
	a_then_that_returns_a_thenable: () => one().then(() => thenable(1)),
	a_thenable_of_a_thenable: () => follow(thenable(thenable(1))),
	all_of_one_thenable: () => Promise.all([thenable(1)]),
	race_of_one_thenable: () => Promise.race([thenable(1)]),
	all_of_all_of_one_value: () => Promise.all([Promise.all([one()])]),

	a_then_that_returns_a_promise: () => one().then(() => one()),
	a_then_that_returns_a_rejected_promise: () => one().then(bad),
	a_catch_that_returns_a_promise: () => bad().catch(() => one()),
	a_finally_that_returns_nothing: () => one().finally(() => {}),
	a_finally_that_returns_a_value: () => one().finally(() => 2),
	a_finally_of_a_rejection: () => bad().finally(() => {}),
	a_finally_that_returns_a_promise: () => one().finally(() => one()),
	a_finally_that_returns_a_rejected_promise: () => one().finally(bad),
	a_thenable_that_gives_a_promise: () => follow(thenable(one())),
	a_follower_of_a_follower: () => follow(follow(one())),

	a_finally_that_returns_a_thenable: () =>
		one().finally(() => thenable(1)),
	all_of_a_thenable_that_gives_a_promise: () =>
		Promise.all([thenable(one())]),
	all_of_a_chain_of_three: () =>
		Promise.all([one().then().then().then()]),
	a_finally_behind_a_finally: () =>
		one().finally(() => {}).finally(() => {}),
};

// Programs that log; each begins with a ladder.
const logs = {
	chains_take_turns: note => {
		ladder(5, n => note(`a${n}`));
		Promise.all([one()]).then(() => note('all'));
		Promise.race([one()]).then(() => note('race'));
		one().then(() => thenable(1)).then(() => note('thenable'));
		one().then(() => one()).then(() => note('native'));
		one().finally(() => {}).then(() => note('finally'));
	},
	a_thenable_is_known_at_once_and_called_later: note => {
		let gets = 0;
		const p = follow({
			get then() {
				gets++;
				return resolve => {
					note('call');
					resolve(1);
				};
			},
		});
		note(gets === 1 ? 'known' : 'not known');
		p.then(() => note('then'));
		ladder(2, n => note(`a${n}`));
	},
};

function ladder(count, step) {
	let p = Promise.resolve();
	for (let n = 1; n <= count; n++)
		p = p.then(() => step(n));
}

async function hopsOf(make) {
	let now = 0, found;
	ladder(20, n => now = n);
	const look = () => found = now;
	make().then(look, look);
	await new Promise(setImmediate);
	return found;
}

async function logOf(program) {
	const events = [];
	program(event => events.push(event));
	await new Promise(setImmediate);
	return events.join('|');
}

const source = fs.readFileSync(process.argv[2], 'utf8');
const written = {};
for (const [, name, hops] of source.matchAll(/^ORDER\((\w+), (\d+), \d+\)/gm))
	written[name] = hops;
for (const [, name, log] of
	source.matchAll(/^ORDER_LOG\((\w+),\s+"([^"]*)"/gm))
	written[name] = log;

const measured = {};
for (const [name, make] of Object.entries(rows))
	measured[name] = String(await hopsOf(make));
for (const [name, program] of Object.entries(logs))
	measured[name] = await logOf(program);

let failed = 0;
for (const name of new Set([...Object.keys(written),
	...Object.keys(measured)])) {
	if (written[name] === measured[name])
		continue;
	failed++;
	console.log(`${name}: written as ${written[name]}, ` +
		`in Node ${process.version} it is ${measured[name]}`);
}
console.log(`table of hops: ${Object.keys(measured).length - failed} passed, ` +
	`${failed} failed`);
process.exitCode = failed ? 1 : 0;
