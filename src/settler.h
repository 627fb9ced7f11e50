/*
 * SPDX-License-Identifier: MIT
 *
 * settler.h - what the loop's life asks of the calls that are begun.
 */
#ifndef AVOW_SRC_SETTLER_H
#define AVOW_SRC_SETTLER_H

#include "promise.h"

/* A seat and an empty table for a new loop; false when out of either. */
bool avow__calls_open(avow_loop *loop);
/* The loop ends: contexts are worth nothing from here on, in any thread. */
void avow__calls_close(avow_loop *loop);
/* Settle what other threads have sent; the driver's answer to `ring`. */
void avow__mail(avow_loop *loop);
/* While these are held no other thread rings the loop. */
void avow__seat_lock(const avow_loop *loop);
void avow__seat_unlock(const avow_loop *loop);
/* Another thread takes the loop over. */
void avow__calls_adopt(avow_loop *loop);
/* What the call of a promise with CALL is named. */
const char *avow__call_name(const avow_promise *p);
void avow__calls_stats(const avow_loop *loop, avow_stats *out);

#endif
