/*
 * SPDX-License-Identifier: MIT
 *
 * Memory that stays away; hoard.h says what it offers.
 */
#include "hoard.h"

/* More than two slabs have: the one in hand, and the reserve. */
enum { HOARD_MAX = 4096 };

static avow_promise *hoard[HOARD_MAX];
static size_t hoard_count;

void hoard_begin(size_t left)
{
	avow_promise *p;
	if (!avow_loop_current())
		avow_tidy(fx.loop);
	avow_loop_spare_max(fx.loop, 0);
	fx_fail_from(0);
	while (p = avow_pending(fx.loop), avow_state_of(p) == AVOW_PENDING) {
		ck_assert_uint_lt(hoard_count, HOARD_MAX);
		hoard[hoard_count++] = p;
	}
	for (size_t i = 0; i < left; i++)
		avow_cancel(hoard[--hoard_count]);
	if (!avow_loop_current())
		avow_tidy(fx.loop);
}

void hoard_end(void)
{
	fx_fail_never();
	while (hoard_count)
		avow_cancel(hoard[--hoard_count]);
	fx_run();
	fx_take_reports();
}
