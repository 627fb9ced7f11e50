/*
 * SPDX-License-Identifier: MIT
 *
 * alloc.h - all memory of the library passes through here, so that a program
 * can supply it and a test can fail it.
 */
#ifndef AVOW_SRC_ALLOC_H
#define AVOW_SRC_ALLOC_H

#include "loop.h"

/* NULL when out of memory. */
void *avow__alloc(size_t size);
void *avow__alloc_aligned(size_t alignment, size_t size);
void avow__free(void *ptr);
/* What avow__alloc_aligned() gave. */
void avow__free_aligned(void *ptr, size_t size);

/* Give a loop's cached blocks back. */
void avow__blocks_trim(avow_loop *loop);

#endif
