// SPDX-License-Identifier: MIT
//
// adapter.js - runs promises-aplus-tests over promises of avow, once.
//
//     node --expose-gc adapter.js folder addon.node counts order
//
// `folder` is where npm has installed the suite, `order` is "default", or
// "ecmascript" for avow_loop_ecmascript_order().  The adapter that the suite
// asks for is the addon's functions by other names; nothing here knows what a
// promise is.  How many tests passed and failed is added to the file `counts`
// as a line, as Mocha has counted them: each test that is missing counts as
// failed, and so does the end, if something stays alive that should not.
"use strict";

const { appendFileSync } = require("fs");
const { createRequire } = require("module");
const { join, resolve } = require("path");

const TEST_COUNT = 872; // in promises-aplus-tests 2.1.2
const TEST_SECONDS = 5; // for one test; all take less than one as a rule
const COLLECT_ROUNDS = 50;

const [folder, addonPath, countsPath, order] = process.argv.slice(2);
const requireNear = (file) => createRequire(join(resolve(folder), file));
const runSuite = requireNear("package.json")("promises-aplus-tests");
const { Dot } = requireNear("node_modules/promises-aplus-tests/package.json")(
	"mocha").reporters;
const addon = require(resolve(addonPath));
addon.ecmascriptOrder(order === "ecmascript");

const adapter = {
	resolved: addon.resolved,
	rejected: addon.rejected,
	deferred() {
		const promise = addon.pending();
		return {
			promise,
			resolve: (value) => addon.resolve(promise, value),
			reject: (reason) => addon.reject(promise, reason),
		};
	},
};

let stats = { tests: 0, passes: 0, failures: 0 };
// What is alive before the first test: promises in variables of the suite.
let before;

class Reporter extends Dot {
	constructor(runner) {
		super(runner);
		stats = this.stats;
		before = addon.counts();
	}
}

// Is only that alive?  Handlers may wait at promises which a test has left
// pending, and which nobody can settle; values have no such excuse.
function isClean() {
	const { values, promises } = addon.counts();
	return values <= before.values && promises <= before.promises;
}

// What is collected in one round lets go of more, to be found in the next.
async function collect() {
	for (let round = 0; round < COLLECT_ROUNDS && !isClean(); round++) {
		global.gc();
		await new Promise((done) => setImmediate(done));
	}
}

async function nothingIsLeft() {
	await collect();
	const wasClean = isClean();
	console.log("alive before the tests", before);
	console.log("  after them          ", addon.counts());
	const end = addon.end();
	console.log("  after the loop      ", end);
	return wasClean && !end.values && !end.handlers;
}

function tell(passed, failed) {
	appendFileSync(countsPath, `${passed} ${failed}\n`);
	process.exitCode = failed ? 1 : 0;
}

async function finish() {
	const missing = Math.max(0, TEST_COUNT - stats.tests);
	if (missing)
		console.log(`${missing} of ${TEST_COUNT} tests did not run`);
	const isLeft = !(await nothingIsLeft());
	if (isLeft)
		console.log("something is left that should not be");
	tell(stats.passes, stats.failures + missing + (isLeft ? 1 : 0));
}

runSuite(adapter, { reporter: Reporter, timeout: TEST_SECONDS * 1000 }, finish);
