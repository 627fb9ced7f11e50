// SPDX-License-Identifier: MIT
//
// oracle.mjs - the interpreter of programs over the promises of this engine.
//
// Reads batches of programs (program.h) from the standard input and answers
// each with the traces (run.h), until the input ends.  The programs of a batch
// run side by side, a turn of all of them in one callback: each one's jobs are
// in the order in which they would be alone.  All promises are kept, and their
// outcomes written, whether the other side holds them or not.
import fs from 'node:fs';

const TURNS = 3, LIST_MAX = 4, OP_SIZE = 7 + LIST_MAX;
const VALUE_DEPTH = 4;
const [NOTHING, PENDING, RESOLVED, REJECTED, RESOLVE, REJECT, THEN, CATCH, BOTH,
	FINALLY, TAP, TAP_CATCH, CATCH_CODE, PASS, ALL, ALL_SETTLED, ANY, RACE,
	POST, LADDER, THENABLE, GIVE] = Array(22).keys();
const [NONE, INT, SAME, ERROR, PROMISE, ANY_THENABLE] = Array(6).keys();
const [TAG_NONE, TAG_INT, TAG_ERROR, TAG_LIST, TAG_AGGREGATE, TAG_CYCLE,
	TAG_DEEP] = Array(7).keys();

// Nobody is told: warnings take more time than the programs.
process.on('rejectionHandled', () => {});

class Failure {
	constructor(code) {
		this.code = code;
	}
}

function putList(out, tag, list, depth) {
	if (depth === VALUE_DEPTH) {
		out.push(TAG_DEEP);
		return;
	}
	out.push(tag, list.length);
	for (const item of list)
		putValue(out, item, depth + 1);
}

function putValue(out, value, depth = 0) {
	if (value === undefined)
		out.push(TAG_NONE);
	else if (typeof value === 'number')
		out.push(TAG_INT, value);
	else if (value instanceof Failure)
		out.push(TAG_ERROR, value.code);
	else if (Array.isArray(value))
		putList(out, TAG_LIST, value, depth);
	else if (value instanceof AggregateError)
		putList(out, TAG_AGGREGATE, value.errors, depth);
	else if (value instanceof TypeError &&
		 value.message.startsWith('Chaining cycle'))
		out.push(TAG_CYCLE);
	else if (value.status === 'fulfilled')
		putValue(out, value.value, depth);
	else if (value.status === 'rejected')
		putValue(out, value.reason, depth);
	else
		throw value;
}

class Run {
	constructor(ops, count) {
		this.count = count;
		this.ops = ops;
		this.events = [];
		this.outcomes = [];
		this.promise = new Array(count);
		this.settlers = new Array(count);
		// Operations by body, each the head of a list; turns behind.
		this.first = new Int8Array(count + TURNS).fill(-1);
		this.next = new Int8Array(count);
		for (let i = count - 1; i >= 0; i--) {
			const where = this.at(i, 1);
			const body = where < 0 ? count - 1 - where : where;
			this.next[i] = this.first[body];
			this.first[body] = i;
		}
	}

	// A member of `struct op`: kind, where, result, arg, of, count, list...
	at(i, member) {
		return this.ops[i * OP_SIZE + member];
	}

	event(i, value) {
		this.events.push(i);
		putValue(this.events, value);
	}

	body(body) {
		for (let i = this.first[body]; i >= 0; i = this.next[i])
			this.op(i);
	}

	turn(turn) {
		this.events.push(-1);
		this.body(this.count + turn);
	}

	promiseOf(i) {
		return i < 0 ? undefined : this.promise[i];
	}

	thenable(t) {
		return {
			then: (resolve, reject) => {
				this.settlers[t] = [resolve, reject];
				this.event(t, undefined);
				this.body(t);
				if (this.at(t, 2) === ERROR)
					throw new Failure(t);
			},
		};
	}

	// What operation `i` resolves with, returns or gives.
	result(i, given) {
		switch (this.at(i, 2)) {
		case INT:
			return i;
		case SAME:
			return given;
		case PROMISE:
			return this.promiseOf(this.at(i, 3));
		case ANY_THENABLE:
			return this.thenable(this.at(i, 3));
		case ERROR:
			throw new Failure(i);
		}
	}

	// What was thrown and is passed on is thrown again.
	handler(i, isRejected) {
		return value => {
			this.event(i, value);
			this.body(i);
			if (isRejected && this.at(i, 2) === SAME)
				throw value;
			return this.result(i, value);
		};
	}

	// What the value passes: as finally, but with the value.
	tap(i, isRejected) {
		return value => {
			this.event(i, value);
			this.body(i);
			return Promise.resolve(this.result(i)).then(() => {
				if (isRejected)
					throw value;
				return value;
			});
		};
	}

	catchCode(i) {
		const handler = this.handler(i, true);
		return error => {
			if (error instanceof Failure &&
			    error.code === this.at(i, 5))
				return handler(error);
			throw error;
		};
	}

	settle(i) {
		const settlers = this.settlers[this.at(i, 4)];
		if (!settlers)
			return;
		if (this.at(i, 2) === ERROR)
			settlers[1](new Failure(i));
		else
			settlers[0](this.result(i));
	}

	attach(i, kind) {
		const p = this.promiseOf(this.at(i, 4));
		if (!p)
			return undefined;
		switch (kind) {
		case THEN:
			return p.then(this.handler(i, false));
		case CATCH:
			return p.catch(this.handler(i, true));
		case BOTH:
			return p.then(this.handler(i, false),
				this.handler(i, true));
		case FINALLY: {
			const handler = this.handler(i, false);
			return p.finally(() => handler());
		}
		case TAP:
			return p.then(this.tap(i, false));
		case TAP_CATCH:
			return p.catch(this.tap(i, true));
		case CATCH_CODE:
			return p.catch(this.catchCode(i));
		}
		return p.then();
	}

	combine(i, kind) {
		const list = [];
		for (let n = 0; n < this.at(i, 5); n++) {
			const p = this.promiseOf(this.at(i, 6 + n));
			if (p)
				list.push(p);
		}
		switch (kind) {
		case ALL:
			return Promise.all(list);
		case ALL_SETTLED:
			return Promise.allSettled(list);
		case ANY:
			return Promise.any(list);
		}
		return Promise.race(list);
	}

	make(i, kind) {
		if (kind === PENDING)
			return new Promise((...settlers) => {
				this.settlers[i] = settlers;
			});
		if (kind === RESOLVED)
			return new Promise(resolve => resolve(this.result(i)));
		if (kind === REJECTED)
			return Promise.reject(new Failure(i));
		if (kind >= ALL)
			return this.combine(i, kind);
		return this.attach(i, kind);
	}

	ladder(i) {
		let p = Promise.resolve();
		for (let n = 0; n < this.at(i, 5); n++)
			p = p.then(() => this.event(i, n));
	}

	job(i) {
		queueMicrotask(() => {
			this.event(i, undefined);
			this.body(i);
		});
	}

	op(i) {
		const kind = this.at(i, 0);
		switch (kind) {
		case NOTHING:
		case THENABLE:
			break;
		case RESOLVE:
		case REJECT:
		case GIVE:
			this.settle(i);
			break;
		case POST:
			this.job(i);
			break;
		case LADDER:
			this.ladder(i);
			break;
		default:
			this.promise[i] = this.make(i, kind);
		}
	}

	// All that will ever settle has: they are noted in their order.
	look() {
		for (let i = 0; i < this.count; i++) {
			const note = value => {
				this.outcomes.push(i);
				putValue(this.outcomes, value);
			};
			this.promise[i]?.then(note, note);
		}
	}
}

function readAll(buffer) {
	for (let at = 0; at < buffer.length;) {
		const n = fs.readSync(0, buffer, at, buffer.length - at);
		if (n === 0)
			return false;
		at += n;
	}
	return true;
}

// The other side is gone when it has crashed, and it will tell.
function writeAll(buffer) {
	try {
		for (let at = 0; at < buffer.length;)
			at += fs.writeSync(1, buffer, at);
	} catch {
		process.exit(1);
	}
}

// [the count of programs, the bytes of them], then each: its count and its
// operations.
function readBatch() {
	const head = Buffer.alloc(8);
	if (!readAll(head))
		return undefined;
	const bytes = Buffer.alloc(head.readInt32LE(4));
	readAll(bytes);
	const runs = [];
	for (let at = 0; at < bytes.length;) {
		const size = bytes[at] * OP_SIZE;
		const ops = new Int8Array(bytes.buffer,
			bytes.byteOffset + at + 1, size);
		runs.push(new Run(ops, bytes[at]));
		at += 1 + size;
	}
	return runs;
}

// The bytes that follow, then for each program two lists behind their counts.
function writeBatch(runs) {
	let count = 2;
	for (const run of runs)
		count += 4 + run.events.length + run.outcomes.length;
	const tokens = new Int16Array(count);
	new Int32Array(tokens.buffer, 0, 1)[0] = (count - 2) * 2;
	let at = 2;
	for (const run of runs) {
		for (const list of [run.events, run.outcomes]) {
			tokens[at++] = list.length & 0xffff;
			tokens[at++] = list.length >> 16;
			tokens.set(list, at);
			at += list.length;
		}
	}
	writeAll(Buffer.from(tokens.buffer));
}

function serve() {
	const runs = readBatch();
	if (!runs)
		return;
	const steps = [];
	for (let turn = 0; turn < TURNS; turn++)
		steps.push(() => runs.forEach(run => run.turn(turn)));
	steps.push(() => runs.forEach(run => run.look()));
	steps.push(() => writeBatch(runs), serve);
	const step = () => {
		steps.shift()();
		if (steps.length)
			setImmediate(step);
	};
	step();
}

serve();
