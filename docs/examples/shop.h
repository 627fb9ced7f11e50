/*
 * SPDX-License-Identifier: MIT
 *
 * shop.h - somebody else's library: ten steps from a token to a receipt, each
 * of which asks for one number with the number that the step before gave.
 */
#ifndef SHOP_H
#define SHOP_H

struct ev_loop;

struct shop {
	struct ev_loop *ev;
	int refuses; /* the step that fails, 1 to 10; 0 is none */
};

enum shop_error { SHOP_OK, SHOP_ECLOSED, SHOP_EREFUSED };

typedef void shop_fn(int err, int id, void *ctx);

/* 0: `cb` is called once, later.  An error: it is never called. */
typedef int shop_step_fn(struct shop *shop, int id, shop_fn *cb, void *ctx);

shop_step_fn shop_session, shop_user, shop_account, shop_cart, shop_order,
	shop_price, shop_payment, shop_parcel, shop_invoice, shop_receipt;

const char *shop_strerror(int err);

#endif /* SHOP_H */
