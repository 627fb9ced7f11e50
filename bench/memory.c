/*
 * SPDX-License-Identifier: MIT
 *
 * memory.c - what is allocated: calls and bytes, counted in an allocator that
 * the library is given, and the resident size that the system sees.
 *
 * Nothing here is timed, and what is timed elsewhere allocates nothing once it
 * is warm, so counting does not disturb it.
 */
#include "bench.h"

#include <malloc.h>
#include <stdlib.h>

/* What avow.h says a slab has and is aligned to. */
#define SLAB_BYTES 65536

struct meter meter;

/*
 * What was asked for.  Slabs are known by their alignment: malloc's own idea of
 * their size depends on where it found them.  Should it ever align another
 * block so, that block is counted alike when it comes and when it goes.
 */
static size_t meter_size(void *ptr)
{
	return (uintptr_t)ptr % SLAB_BYTES == 0 ? SLAB_BYTES :
						  malloc_usable_size(ptr);
}

static void *meter_add(void *ptr)
{
	if (!ptr)
		return NULL;
	meter.malloc_count++;
	meter.live_bytes += meter_size(ptr);
	if (meter.live_bytes > meter.peak_bytes)
		meter.peak_bytes = meter.live_bytes;
	return ptr;
}

static void *meter_alloc(size_t size)
{
	return meter_add(malloc(size));
}

static void *meter_aligned(size_t alignment, size_t size)
{
	void *ptr = NULL;

	return posix_memalign(&ptr, alignment, size) ? NULL : meter_add(ptr);
}

static void meter_free(void *ptr)
{
	if (ptr)
		meter.live_bytes -= meter_size(ptr);
	free(ptr);
}

void memory_meter(void)
{
	const avow_allocator metered = {
		meter_alloc,
		meter_aligned,
		meter_free,
	};

	avow_set_allocator(&metered);
}

/*
 * Peak and mallocs of the first run on a fresh loop, then the mallocs of a
 * later one, when the loop has been run twice: the steady state.
 */
void memory_measure(const struct workload *w, size_t steps,
		    struct memory_row *row)
{
	struct bench b;
	uint64_t count;
	size_t live;

	row->workload = w;
	row->steps = steps;
	bench_open(&b, SERIES_WARM, 0);
	bench_room(&b, w, SERIES_WARM, steps);
	live = meter.peak_bytes = meter.live_bytes;
	count = meter.malloc_count;
	bench_laps(&b, w, SERIES_WARM, steps, 1);
	row->peak_mb = (double)(meter.peak_bytes - live) / 1048576;
	row->bytes_per_step = (double)(meter.peak_bytes - live) / (double)steps;
	row->mallocs_first = (double)(meter.malloc_count - count) /
			     (double)steps;
	bench_laps(&b, w, SERIES_WARM, steps, 1);
	count = meter.malloc_count;
	bench_laps(&b, w, SERIES_WARM, steps, 1);
	row->mallocs_steady = (double)(meter.malloc_count - count) /
			      (double)steps;
	bench_close(&b);
}

static avow_value memory_pass(avow_value value, void *arg)
{
	size_t *run_count = arg;

	++*run_count;
	return value;
}

/* `count` handlers on one pending promise; says what they hold meanwhile. */
static void memory_attach(struct bench *b, size_t count, avow_stats *meanwhile,
			  double *rss_mb)
{
	avow_promise *p = avow_pending(b->loop);
	size_t run_count = 0;
	size_t i;

	for (i = 0; i < count; i++)
		avow_then(p, memory_pass, &run_count);
	avow_loop_stats(b->loop, meanwhile);
	*rss_mb = machine_rss_mb();
	avow_resolve(p, avow_int(1));
	ev_run(b->ev, 0);
	if (run_count != count)
		bench_fail("%zu of %zu reactions ran", run_count, count);
}

/* What every program does that has lived: free a block of some size. */
static void memory_use_heap(void)
{
	const size_t size = (size_t)24 << 20;
	volatile char *block = malloc(size);

	if (!block)
		bench_fail("out of memory: %zu bytes", size);
	block[size - 1] = 1;
	free((void *)(uintptr_t)block);
}

/* On fresh loops with the default setting, because the question is what a
 * program keeps that never thought of it. */
void memory_facts(size_t burst_count, struct memory_facts *facts)
{
	avow_stats before, stats;
	struct bench b;
	double rss, rss_before;

	bench_open(&b, SERIES_DEFAULT, 0);
	facts->then_count = 1000000;
	avow_loop_stats(b.loop, &before);
	memory_attach(&b, facts->then_count, &stats, &rss);
	facts->promise_size = stats.promise_size;
	facts->bytes_per_then = (double)(stats.slab_bytes - before.slab_bytes) /
				(double)facts->then_count;
	bench_close(&b);

	bench_open(&b, SERIES_DEFAULT, 0);
	facts->burst_count = burst_count;
	facts->rss_before_mb = machine_rss_mb();
	memory_attach(&b, burst_count, &stats, &facts->rss_peak_mb);
	facts->rss_after_mb = machine_rss_mb();
	avow_loop_stats(b.loop, &stats);
	facts->slabs_after_mb = (double)stats.slab_bytes / 1048576;
	bench_close(&b);

	/* glibc maps large blocks until one was freed; after that they come
	 * from the heap, which shrinks only from its end. */
	memory_use_heap();
	bench_open(&b, SERIES_DEFAULT, 0);
	rss_before = machine_rss_mb();
	memory_attach(&b, burst_count, &stats, &rss);
	facts->rss_stays_mb = machine_rss_mb() - rss_before;
	bench_close(&b);
}
