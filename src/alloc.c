/*
 * SPDX-License-Identifier: MIT
 *
 * alloc.c - the allocator, and a small cache of blocks of up to 64 bytes for
 * structs that travel as values and for copied arguments.
 *
 * A block is plain memory of the allocator at any time, cached or not: it may
 * be freed in another thread than it was made in, and outlive its loop.  That
 * is why the blocks do not come from the slabs.
 */
#include "alloc.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#define BLOCK_SIZE 64
#define BLOCK_COUNT_MAX 1024

/* Caching would hide a use after free from those who look for it. */
#if defined(AVOW_DEBUG) || defined(__SANITIZE_ADDRESS__)
#define BLOCK_CACHE 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BLOCK_CACHE 0
#endif
#endif
#ifndef BLOCK_CACHE
#define BLOCK_CACHE 1
#endif

__thread struct avow__thread avow__thread;

/* LeakSanitizer looks for pointers in what malloc gave, and must be told of
 * other memory.  Weak: it is there in programs that are built with it. */
#ifdef __ELF__
void __lsan_register_root_region(const void *start, size_t size)
	__attribute__((weak));
void __lsan_unregister_root_region(const void *start, size_t size)
	__attribute__((weak));
#define ALLOC_TELL_LSAN(which, start, size)                \
	do {                                               \
		if (__lsan_##which##_root_region)          \
			__lsan_##which##_root_region(start, size); \
	} while (0)
#else
#define ALLOC_TELL_LSAN(which, start, size) ((void)0)
#endif

/*
 * Slabs are mapped, not from the heap: glibc's heap shrinks only from its end,
 * so that one slab in use near it would keep a whole burst resident, and its
 * memalign touches a page more than a slab has.  Several are mapped at once,
 * because the system bounds the number of maps; they go back one by one.
 */
#define MAPPED_COUNT 16
static struct {
	pthread_mutex_t lock;
	char *next;
	size_t left;
} mapped = { PTHREAD_MUTEX_INITIALIZER, NULL, 0 };

/* A mapping of `size` bytes, aligned; NULL when out of memory. */
static char *alloc_map(size_t alignment, size_t size)
{
	char *const area = mmap(NULL, size + alignment, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		return NULL;
	const size_t before = -(uintptr_t)area & (alignment - 1);
	if (before)
		munmap(area, before);
	if (alignment - before)
		munmap(area + before + size, alignment - before);
	return area + before;
}

/* As in seat.c: no other thread may hold the lock while one forks. */
static void alloc_before_fork(void)
{
	pthread_mutex_lock(&mapped.lock);
}

static void alloc_after_fork(void)
{
	pthread_mutex_unlock(&mapped.lock);
}

static void alloc_mind_forks(void)
{
	(void)pthread_atfork(alloc_before_fork, alloc_after_fork,
			     alloc_after_fork);
}

static void *alloc_aligned_default(size_t alignment, size_t size)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	char *slab = NULL;
	pthread_once(&once, alloc_mind_forks);
	pthread_mutex_lock(&mapped.lock);
	if (!mapped.left) {
		mapped.next = alloc_map(alignment, size * MAPPED_COUNT);
		mapped.left = mapped.next ? MAPPED_COUNT : 0;
	}
	if (mapped.left) {
		slab = mapped.next;
		mapped.next += size;
		mapped.left--;
	}
	pthread_mutex_unlock(&mapped.lock);
	if (slab)
		ALLOC_TELL_LSAN(register, slab, size);
	return slab;
}

static const avow_allocator alloc_default = {
	malloc,
	alloc_aligned_default,
	free,
};
static avow_allocator alloc_used = { malloc, alloc_aligned_default, free };

void avow__free_aligned(void *ptr, size_t size)
{
	if (alloc_used.aligned != alloc_aligned_default) {
		alloc_used.free(ptr);
		return;
	}
	ALLOC_TELL_LSAN(unregister, ptr, size);
	/* Too many maps: give at least the memory back. */
	if (munmap(ptr, size) != 0)
		(void)madvise(ptr, size, MADV_DONTNEED);
}

void avow_set_allocator(const avow_allocator *allocator)
{
	alloc_used = allocator ? *allocator : alloc_default;
}

void *avow__alloc(size_t size)
{
	return alloc_used.alloc(size);
}

void *avow__alloc_aligned(size_t alignment, size_t size)
{
	return alloc_used.aligned(alignment, size);
}

void avow__free(void *ptr)
{
	alloc_used.free(ptr);
}

void *avow_block_alloc_(size_t size)
{
	avow_loop *loop = avow__home();
	if (size > BLOCK_SIZE)
		return avow__alloc(size);
	if (!loop || !loop->blocks)
		return avow__alloc(BLOCK_SIZE);
	void **block = loop->blocks;
	loop->blocks = *block;
	loop->block_count--;
	return block;
}

void avow_block_free_(void *block, size_t size)
{
	avow_loop *loop = avow__home();
	if (!BLOCK_CACHE || size > BLOCK_SIZE || !loop ||
	    loop->block_count == BLOCK_COUNT_MAX) {
		avow__free(block);
		return;
	}
	*(void **)block = loop->blocks;
	loop->blocks = block;
	loop->block_count++;
}

void avow__blocks_trim(avow_loop *loop)
{
	while (loop->blocks) {
		void **block = loop->blocks;
		loop->blocks = *block;
		avow__free(block);
	}
	loop->block_count = 0;
}
