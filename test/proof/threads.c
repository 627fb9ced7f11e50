/*
 * SPDX-License-Identifier: MIT
 *
 * threads.c - all interleavings of a loop's thread with threads that settle its
 * call from afar, on the real settler.c.
 *
 * The threads are coroutines, and yield.h lets another one go on before each
 * lock and each atomic access.  Every choice of who goes on is made, and every
 * script of the loop's thread: it has begun a call, and now settles it itself,
 * cancels it, reads its mail, begins another call in its place, or frees the
 * loop, in any order.  What is explored is every *sequentially consistent*
 * interleaving of these steps; that the steps between need no order of their
 * own is what ThreadSanitizer is for (make check-tsan).
 *
 * However it goes (rules 5, 16, 25): every value is dropped once; the call is
 * settled once, by one of those who tried, and who was too late is counted; a
 * later call is not settled by an old context; a letter in the mail rings the
 * loop; nobody touches the table of a loop that is gone; nobody waits for ever.
 *
 * To raise the bound: PROOF_MORE=1 gives the loop's thread one more step.
 */
#include "choice.h"

#include "../../src/call.h"
#include "../../src/lifecycle.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

void yield(const volatile void *where);
void yield_lock(void *mutex);
void yield_unlock(void *mutex);
bool yield_is_hidden(const volatile void *where);

enum { THREADS = 3, STACK = 65536, TOKENS = 16, SCRIPT_MAX = 8 };
enum act { SETTLE, CANCEL, MAIL, BEGIN_AGAIN, FREE_LOOP, ACTS };
static const char *const act_names[] = { "settle", "cancel", "mail",
					 "begin again", "free" };

static struct thread {
	ucontext_t context;
	char stack[STACK] __attribute__((aligned(16)));
	void *waits; /* for this mutex */
	bool is_done;
} threads[THREADS];

static struct {
	unsigned now, count; /* threads */
	ucontext_t outside;
	void *locked[8];
	unsigned locked_count;
	enum act script[SCRIPT_MAX];
	unsigned length;
	void *call_context, *other_context; /* the other is NULL mostly */
	avow_promise *promise;
	unsigned drops[TOKENS], tokens;
	unsigned settles, runs, runs_again, runs_other;
	int outcome; /* the token that the call was settled with, or 0 */
	unsigned begun_again;
	bool is_cancelled, is_freed, is_rung;
	char trace[256];
	unsigned traced;
} run;

static struct avow_loop loop;

/* ------------------------------------------------------------- Refutation */

_Noreturn void refute(const char *property, const char *claim, int line)
{
	printf("REFUTED  %s: %s (line %d)\nloop's thread:", property, claim,
	       line);
	for (unsigned i = 0; i < run.length; i++)
		printf(" %s,", act_names[run.script[i]]);
	printf(" with %u from afar\nsteps of: %.*s\n", run.count - 1,
	       (int)run.traced, run.trace);
	fflush(stdout);
	_exit(1);
}

static void on_signal(int number)
{
	refute("memory",
	       number == SIGSEGV ? "the library does not crash"
				 : "the library does not check itself",
	       0);
}

/* ----------------------------------------------------------------- Memory */

/* Freed memory is not used again, so that it is known. */
static struct {
	char bytes[65536] __attribute__((aligned(16)));
	size_t used;
	struct {
		char *at;
		size_t size;
		bool is_free;
	} block[64];
	unsigned count;
	char *slab[2];
	unsigned slabs;
} arena;

static void *arena_alloc(size_t size)
{
	size = (size + 15) & ~(size_t)15;
	HOLDS("bound",
	      arena.count < 64 && arena.used + size <= sizeof(arena.bytes));
	char *const at = arena.bytes + arena.used;
	arena.used += size;
	arena.block[arena.count].at = at;
	arena.block[arena.count].size = size;
	arena.block[arena.count++].is_free = false;
	return at;
}

static void *arena_aligned(size_t alignment, size_t size)
{
	HOLDS("bound", arena.slabs < 2);
	if (!arena.slab[arena.slabs])
		arena.slab[arena.slabs] = aligned_alloc(alignment, size);
	return arena.slab[arena.slabs++];
}

static void arena_free(void *ptr)
{
	for (unsigned i = 0; i < arena.count; i++) {
		if (arena.block[i].at == (char *)ptr) {
			HOLDS("memory: freed once", !arena.block[i].is_free);
			arena.block[i].is_free = true;
			memset(ptr, 0xdb, arena.block[i].size);
		}
	}
}

static void check_alive(const volatile void *where)
{
	const volatile char *const at = where;
	for (unsigned i = 0; i < arena.count; i++)
		HOLDS("rule 25: nobody touches what is gone",
		      !arena.block[i].is_free || at < arena.block[i].at ||
			      at >= arena.block[i].at + arena.block[i].size);
}

/* --------------------------------------------------------------- Schedule */

static bool is_locked(const void *mutex)
{
	for (unsigned i = 0; i < run.locked_count; i++) {
		if (run.locked[i] == mutex)
			return true;
	}
	return false;
}

static bool can_run(unsigned i)
{
	const struct thread *const t = &threads[i];
	return !t->is_done && !(t->waits && is_locked(t->waits));
}

/* Who goes on, the present one first; NOBODY when there is nobody. */
enum { NOBODY = 99 };
static unsigned pick(void)
{
	unsigned able[THREADS], count = 0;
	for (unsigned k = 0; k < run.count; k++) {
		const unsigned i = (run.now + k) % run.count;
		if (can_run(i))
			able[count++] = i;
	}
	if (count == 0)
		return NOBODY;
	return able[count > 1 ? choose(count) : 0];
}

static void go_on_with(unsigned next, ucontext_t *from)
{
	if (run.traced < sizeof(run.trace))
		run.trace[run.traced++] = (char)('0' + next);
	run.now = next;
	swapcontext(from, &threads[next].context);
}

static bool is_outside = true;

static bool is_owner_of_seat(const volatile void *where)
{
	const volatile char *const at = where;
	const volatile char *const first = (char *)avow__seats;
	return at >= first && at < first + sizeof(avow__seats) &&
	       (size_t)(at - first) % sizeof(*avow__seats) ==
		       offsetof(struct avow__seat, owner);
}

/* The owner of a seat is written and read by the loop's thread alone, as far as
 * these coroutines go: no other order of that shows anything new. */
void yield(const volatile void *where)
{
	if (is_outside || is_owner_of_seat(where))
		return;
	const unsigned self = run.now, next = pick();
	HOLDS("rule 25: nobody waits for ever", next != NOBODY);
	if (next != self)
		go_on_with(next, &threads[self].context);
	if (where)
		check_alive(where);
}

void yield_lock(void *mutex)
{
	if (!is_outside) {
		threads[run.now].waits = mutex;
		yield(NULL);
		threads[run.now].waits = NULL;
	}
	HOLDS("a lock is free when it is taken", !is_locked(mutex));
	HOLDS("bound", run.locked_count < 8);
	run.locked[run.locked_count++] = mutex;
}

void yield_unlock(void *mutex)
{
	for (unsigned i = 0; i < run.locked_count; i++) {
		if (run.locked[i] == mutex) {
			run.locked[i] = run.locked[--run.locked_count];
			return;
		}
	}
	HOLDS("a lock is held when it is left", false);
}

bool yield_is_hidden(const volatile void *where)
{
	return !is_outside && run.now != 0 && is_owner_of_seat(where);
}

/* ---------------------------------------------------------------- Threads */

static char token_base[TOKENS];

static void token_drop(void *ptr)
{
	const long i = (char *)ptr - token_base;
	HOLDS("rule 16: dropped once", run.drops[i]++ == 0);
}

static const avow_type token_type = { .name = "token", .drop = token_drop };

static avow_value token_new(void)
{
	HOLDS("bound", run.tokens + 1 < TOKENS);
	run.settles++;
	return avow_own(&token_base[++run.tokens], &token_type);
}

static avow_value on_settled(avow_value value, void *arg)
{
	(void)arg;
	HOLDS("rule 5: a call is settled once", run.runs++ == 0);
	run.outcome = value.type == &token_type
			      ? (int)((char *)value.as.ptr - token_base)
			      : 0;
	return avow_none();
}

static avow_value on_settled_again(avow_value value, void *arg)
{
	(void)arg;
	run.runs_again++;
	HOLDS("rule 25: an old context settles no new call",
	      avow_is_error(value) && run.is_freed);
	return avow_none();
}

static avow_value on_other_settled(avow_value value, void *arg)
{
	(void)arg;
	HOLDS("rule 5: a call is settled once", run.runs_other++ == 0);
	HOLDS("rule 25: what is settled from afar is not lost",
	      value.type == &token_type || run.is_freed);
	return avow_none();
}

static avow_promise *begin(avow_handler_fn *fn, void **context)
{
	const avow_call call = avow_begin(&loop, "proof");
	if (context)
		*context = call.context;
	avow_promise *const p = avow_end(call, true, 0);
	const avow_handlers h = { .fulfilled = fn, .rejected = fn };
	avow_on_at("", p, &h);
	return p;
}

/* As the driver of libev does when its bell has rung, and after a callback. */
static void turn(void)
{
	if (run.is_rung) {
		run.is_rung = false;
		avow__mail(&loop);
	}
	avow__drain(&loop, DEPTH_BASE);
}

static void perform(enum act act)
{
	switch (act) {
	case SETTLE:
		avow_settle(run.call_context, token_new());
		break;
	case CANCEL:
		if (run.promise && !run.runs)
			avow_cancel(run.promise);
		run.is_cancelled = true;
		run.promise = NULL;
		break;
	case MAIL:
		turn();
		break;
	case BEGIN_AGAIN:
		run.begun_again++;
		begin(on_settled_again, NULL);
		break;
	default:
		run.is_freed = true;
		avow_loop_free(&loop);
	}
}

static void finish(void)
{
	threads[run.now].is_done = true;
	const unsigned next = pick();
	if (next == NOBODY) {
		for (unsigned i = 0; i < run.count; i++)
			HOLDS("rule 25: nobody waits for ever",
			      threads[i].is_done);
		setcontext(&run.outside);
	}
	run.now = next;
	setcontext(&threads[next].context);
}

static void loop_thread(void)
{
	for (unsigned i = 0; i < run.length && !run.is_freed; i++)
		perform(run.script[i]);
	finish();
}

/* The second one settles the other call, where there is one. */
static void afar_thread(void)
{
	const bool is_other = run.now == 2 && run.other_context;
	avow_settle(is_other ? run.other_context : run.call_context,
		    token_new());
	finish();
}

/* ------------------------------------------------------------- The driver */

static void on_nothing(avow_loop *l)
{
	(void)l;
}

static unsigned on_depth(const avow_loop *l)
{
	(void)l;
	return DEPTH_BASE;
}

static void on_keep_alive(avow_loop *l, bool on)
{
	(void)l;
	(void)on;
}

static void on_ring(avow_loop *l)
{
	HOLDS("rule 25: a loop that is rung is there", l == &loop);
	HOLDS("rule 25: a loop that is rung is there",
	      avow__seats[l->seat].loop);
	run.is_rung = true;
}

static void on_report(avow_loop *l, const avow_report *report, void *arg)
{
	(void)l;
	(void)report;
	(void)arg;
}

static const struct avow__driver driver = {
	.wake = on_nothing,
	.turn = on_nothing,
	.look_again = on_nothing,
	.depth = on_depth,
	.ring = on_ring,
	.listen = on_nothing,
	.keep_alive = on_keep_alive,
	.close = on_nothing,
	.free = on_nothing,
};

/* ----------------------------------------------------------------- Running */

static void choose_script(unsigned length)
{
	for (run.length = 0; run.length < length; run.length++) {
		const enum act act = (enum act)choose(ACTS);
		run.script[run.length] = act;
		if (act == FREE_LOOP) {
			run.length++;
			return;
		}
	}
}

static void start(unsigned i, void (*fn)(void))
{
	getcontext(&threads[i].context);
	threads[i].context.uc_stack.ss_sp = threads[i].stack;
	threads[i].context.uc_stack.ss_size = STACK;
	threads[i].is_done = false;
	threads[i].waits = NULL;
	makecontext(&threads[i].context, fn, 0);
}

/* What all threads have left behind, once the loop has had its turn. */
static void check_settled(void)
{
	avow_stats stats;
	turn();
	HOLDS("rule 25: a letter rings", !loop.table->mail);
	avow_loop_stats(&loop, &stats);
	const unsigned other = run.other_context != NULL;
	HOLDS("rule 25: what is settled from afar is not lost",
	      run.runs_other == other);
	HOLDS("rule 5: settled once",
	      run.runs == (run.settles > other || run.is_cancelled));
	HOLDS("rule 5: by one of those who tried",
	      !run.runs || run.is_cancelled || run.outcome);
	HOLDS("rule 5: who is too late is counted",
	      stats.late == run.settles - other - (run.outcome != 0));
}

static void run_once(unsigned afar, unsigned length, bool is_other)
{
	memset(&run, 0, sizeof(run));
	memset(&loop, 0, sizeof(loop));
	arena.used = arena.count = arena.slabs = 0;
	choice.at = 0;
	if (!avow__loop_open(&loop, &driver))
		exit(1);
	avow_loop_on_report(&loop, on_report, NULL);
	run.count = afar + 1;
	choose_script(length);
	run.promise = begin(on_settled, &run.call_context);
	avow_hold(run.promise);
	if (is_other)
		begin(on_other_settled, &run.other_context);
	start(0, loop_thread);
	for (unsigned i = 1; i <= afar; i++)
		start(i, afar_thread);
	is_outside = false;
	/* The loop's thread begins; each step of it is a choice. */
	go_on_with(0, &run.outside);
	is_outside = true;
	HOLDS("no lock is left locked", run.locked_count == 0);
	if (!run.is_freed) {
		check_settled();
		run.is_freed = true;
		avow_loop_free(&loop);
	}
	HOLDS("rule 28: a call that nobody settles is abandoned",
	      run.runs == 1 && run.runs_again == run.begun_again);
	for (unsigned i = 1; i <= run.tokens; i++)
		HOLDS("rule 16: dropped once", run.drops[i] == 1);
}

static void explore(unsigned afar, unsigned length, bool is_other)
{
	unsigned long count = 0;
	choice.count = 0;
	do {
		run_once(afar, length, is_other);
		count++;
	} while (choose_next(0));
	printf("proved  threads   %u from afar, of %u calls, %u steps of the "
	       "loop's thread: %lu interleavings\n",
	       afar, 1u + is_other, length, count);
	fflush(stdout);
}

int main(void)
{
	static const avow_allocator allocator = { arena_alloc, arena_aligned,
						  arena_free };
	const char *const text = getenv("PROOF_MORE");
	const unsigned more = text ? (unsigned)atoi(text) : 0;
	avow_set_allocator(&allocator);
	signal(SIGSEGV, on_signal);
	signal(SIGABRT, on_signal);
	explore(1, 2 + more, false);
	explore(2, 1 + more, false);
	explore(2, more, true);
	puts("3 passed, 0 failed");
	return 0;
}
