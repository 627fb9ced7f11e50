/*
 * SPDX-License-Identifier: MIT
 *
 * bench.h - what the files of the bench share: the context that a workload
 * runs in, the table of workloads, the floors, and what machine.c, age.c,
 * memory.c and report.c offer to harness.c.  It uses avow by its public header
 * only; nothing of src is included here.
 */
#ifndef BENCH_H
#define BENCH_H

#include "avow.h"

#include <ev.h>
#include <stdint.h>

/* ------------------------------------------------------------ The context */

/* Equal pieces of one block, taken and given back last in, first out. */
struct pool {
	void *block;
	void *first;
	size_t block_bytes;
};

/* Stop with a message: a bench that goes on after an error measures nothing. */
__attribute__((noreturn, cold, format(printf, 1, 2)))
void bench_fail(const char *format, ...);

void pool_open(struct pool *pool, size_t item_size, size_t count);
void pool_close(struct pool *pool);

/* Inline, because a floor must be as low as a program could make it. */
static inline void *pool_take(struct pool *pool)
{
	void *item = pool->first;

	if (__builtin_expect(!item, 0))
		bench_fail("a pool of the floors is empty");
	pool->first = *(void **)item;
	return item;
}

static inline void pool_give(struct pool *pool, void *item)
{
	*(void **)item = pool->first;
	pool->first = item;
}

/* The bare queue of floor.c. */
struct fifo {
	struct node *first;
	struct node **last;
	bool is_fed;		/* the drain is to come, or at work */
	ev_prepare drain;	/* never started, only fed */
};

/*
 * What a workload runs in.  A workload does `steps` steps, counts each in
 * `done` where it happens, and returns when the last has happened.
 */
struct bench {
	struct ev_loop *ev;
	avow_loop *loop;	/* NULL for floors */
	size_t steps;
	size_t done;
	struct fifo fifo;
	struct pool nodes;	/* floors: nodes of the FIFO, or fed watchers */
	struct pool timers;	/* workloads that use timers */
	ev_idle idle;
	avow_promise **kept;	/* what keeps the slabs of `holes` half full */
	size_t kept_count;
	size_t report_count;	/* rejections that nobody handled: an error */
};

typedef void bench_fn(struct bench *b);

/* What is compared within one row, in the order in which it is sampled. */
enum series {
	SERIES_WARM,	/* avow: spare memory is kept, all pages touched */
	SERIES_AGED,	/* the same, a million promises freed at random before */
	SERIES_HOLES,	/* the same, and every second of them still there */
	SERIES_DEFAULT,	/* avow as it comes: a burst's memory goes back */
	SERIES_FIFO,	/* bare callbacks in a FIFO */
	SERIES_FEED,	/* one ev_feed_event() a step */
	SERIES_BARE,	/* the bare call or watcher, where there is one */
	SERIES_COUNT
};

extern const char *const series_name[SERIES_COUNT];

struct workload {
	const char *name;
	const char *title;
	bench_fn *avow;
	bench_fn *fifo;
	bench_fn *feed;
	bench_fn *bare;		/* or NULL */
	size_t steps_max;	/* beyond this only libev would be measured */
	bool uses_timers;
	double aim_ns;		/* for one class of machine; 0 where none */
};

extern const struct workload workloads[];
extern const size_t workload_count;

/* chains.c */
bench_fn ready_chain, pending_chain, short_chains, returning_chain;
bench_fn many_reactions, rejected_chain;
/* loops.c */
bench_fn await_loop, recursive_loop;
/* promisified.c */
bench_fn call_promisified, call_bare, call_fifo, call_feed;
bench_fn timer_promisified, timer_bare, timer_fifo, timer_feed;
/* turns.c */
bench_fn turn_promised, turn_bare, turn_fifo, turn_feed;
/* tools.c */
bench_fn all_of_settled, all_of_pending, map_by_1, map_by_10, map_by_1000, each_by_10;
bench_fn race_against_one, delays_at_once, cancel_chain;
/* floor.c */
bench_fn fifo_chain, fifo_short, fifo_loop, fifo_many;
bench_fn feed_chain, feed_short, feed_loop, feed_many;

/* How many steps a short chain has. */
enum { SHORT_STEPS = 10 };

/* ------------------------------------------------------------- The floors */

typedef void node_fn(struct node *node, struct bench *b);

/* A bare callback: what a program would queue by hand. */
struct node {
	struct node *next;	/* in the queue */
	struct node *then;	/* what to queue when this has run */
	node_fn *fn;
};

/* The same as a watcher that is never started. */
struct fed {
	ev_prepare watcher;
	struct fed *then;
};

typedef void fed_fn(struct ev_loop *ev, ev_prepare *w, int revents);

void fifo_open(struct bench *b);
/* Run `fn` once from the queue; the node goes back by itself after it. */
struct node *fifo_node(struct bench *b, node_fn *fn);
void fifo_post(struct bench *b, struct node *node);
/* A watcher to be fed; `fn` gives it back. */
struct fed *feed_node(struct bench *b, fed_fn *fn);
void feed_post(struct bench *b, struct fed *fed);
/* Count one step: what a callback of a floor does when it does nothing. */
node_fn fifo_count;
fed_fn feed_count;

/* ----------------------------------------------------------- A legacy API */

typedef void number_fn(int err, int number, void *context);

enum { NUMBER = 7 };

/* Both give NUMBER, at once or from a timer of no seconds; 0 is started. */
int number_now(number_fn *callback, void *context);
int number_later(struct bench *b, number_fn *callback, void *context);
extern const size_t request_size;	/* of an item of `timers` */

/* ---------------------------------------------------------------- Harness */

/* Open the context of one series; `aged_count` promises age it, if it ages. */
void bench_open(struct bench *b, enum series series, size_t aged_count);
/* Make room for floors of `steps` steps; give it back with 0. */
void bench_room(struct bench *b, const struct workload *w, enum series series,
		size_t steps);
void bench_close(struct bench *b);
/* The function of a series, or NULL where the workload has none. */
bench_fn *series_fn(const struct workload *w, enum series series);
/* Run it `laps` times over `steps` steps, check the count; returns
 * the seconds of processor time that it took. */
double bench_laps(struct bench *b, const struct workload *w,
		  enum series series, size_t steps, size_t laps);

/* age.c */
void age_loop(struct bench *b, size_t count, bool keep_half);
void age_end(struct bench *b);

/* --------------------------------------------------------------- Machine */

double machine_seconds(void);		/* on the wall */
double machine_busy_seconds(void);	/* of the processor, for us */
int machine_pin(void);			/* the CPU, or -1 */
double machine_rss_mb(void);		/* -1 where unknown */
double machine_rss_peak_mb(void);
double machine_available_mb(void);
const char *machine_cpu(void);
const char *machine_system(void);
const char *machine_compiler(void);
const char *machine_flags(void);
const char *machine_malloc(void);

/* ----------------------------------------------------------------- Memory */

/* What passed through the allocator of the library so far. */
struct meter {
	uint64_t malloc_count;
	size_t live_bytes;
	size_t peak_bytes;
};

extern struct meter meter;

void memory_meter(void);	/* before the first loop */

struct memory_row {
	const struct workload *workload;
	size_t steps;
	double peak_mb;		/* first run on a fresh loop, above the start */
	double bytes_per_step;	/* the same by step */
	double mallocs_first;	/* per step, first run */
	double mallocs_steady;	/* per step, a later run on the warm loop */
};

struct memory_facts {
	size_t promise_size;
	size_t then_count;
	double bytes_per_then;	/* slabs held by that many pending, each */
	size_t burst_count;
	double rss_before_mb;
	double rss_peak_mb;
	double rss_after_mb;
	double slabs_after_mb;
	/* By how much it stays up in a program that has used its heap. */
	double rss_stays_mb;
};

void memory_measure(const struct workload *w, size_t steps,
		    struct memory_row *row);
void memory_facts(size_t burst_count, struct memory_facts *facts);

/* ----------------------------------------------------------------- Report */

enum { SAMPLES_MAX = 64, ROWS_MAX = 256 };

struct samples {
	double ns[SAMPLES_MAX];	/* per step, as they came */
	size_t count;
	size_t laps;
	double median, best, quarter, three_quarters;
};

struct row {
	const struct workload *workload;
	size_t steps;
	struct samples series[SERIES_COUNT];
};

struct sampling {
	size_t repeats;		/* rounds, at most */
	double sample_seconds;	/* how long a sample is to take */
	double row_seconds;	/* after so long three rounds are enough */
};

/* Warm up and sample all series of a row, whose workload and steps are set. */
void row_run(struct row *row, struct bench *contexts,
	     const struct sampling *how);

struct results {
	struct row rows[ROWS_MAX];
	size_t row_count;
	struct memory_row memory[64];
	size_t memory_count;
	struct memory_facts facts;
	int cpu;
	size_t aged_count;
	double seconds;
};

void report_machine(const struct results *r);
void report_row_head(void);
void report_row(struct row *row);
void report_summary(const struct results *r);
void report_memory(const struct results *r);
bool report_json(const struct results *r, const char *path);
void samples_sum_up(struct samples *s);

#endif /* BENCH_H */
