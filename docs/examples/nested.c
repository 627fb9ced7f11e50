/*
 * SPDX-License-Identifier: MIT
 *
 * nested.c - ten dependent steps, each callback starting the next.  It reads
 * from the bottom up, and every callback has to think of two kinds of failure.
 */
#include "buy.h"

static void fail(const struct purchase *buy, int err)
{
	fprintf(buy->out, "failed: %s\n", shop_strerror(err));
}

static void on_receipt(int err, int id, void *ctx)
{
	const struct purchase *buy = ctx;

	if (err)
		fail(buy, err);
	else
		note(buy, "receipt", id);
}

static void on_invoice(int err, int id, void *ctx)
{
	const struct purchase *buy = ctx;

	if (!err) {
		note(buy, "invoice", id);
		err = shop_receipt(buy->shop, id, on_receipt, ctx);
	}
	if (err)
		fail(buy, err);
}

static void on_parcel(int err, int id, void *ctx)
{
	const struct purchase *buy = ctx;

	if (!err) {
		note(buy, "parcel", id);
		err = shop_invoice(buy->shop, id, on_invoice, ctx);
	}
	if (err)
		fail(buy, err);
}

static void on_payment(int err, int id, void *ctx)
{
	const struct purchase *buy = ctx;

	if (!err) {
		note(buy, "payment", id);
		err = shop_parcel(buy->shop, id, on_parcel, ctx);
	}
	if (err)
		fail(buy, err);
}

static void on_price(int err, int id, void *ctx)
{
	const struct purchase *buy = ctx;

	if (!err) {
		note(buy, "price", id);
		err = shop_payment(buy->shop, id, on_payment, ctx);
	}
	if (err)
		fail(buy, err);
}

static void on_order(int err, int id, void *ctx)
{
	const struct purchase *buy = ctx;

	if (!err) {
		note(buy, "order", id);
		err = shop_price(buy->shop, id, on_price, ctx);
	}
	if (err)
		fail(buy, err);
}

static void on_cart(int err, int id, void *ctx)
{
	const struct purchase *buy = ctx;

	if (!err) {
		note(buy, "cart", id);
		err = shop_order(buy->shop, id, on_order, ctx);
	}
	if (err)
		fail(buy, err);
}

static void on_account(int err, int id, void *ctx)
{
	const struct purchase *buy = ctx;

	if (!err) {
		note(buy, "account", id);
		err = shop_cart(buy->shop, id, on_cart, ctx);
	}
	if (err)
		fail(buy, err);
}

static void on_user(int err, int id, void *ctx)
{
	const struct purchase *buy = ctx;

	if (!err) {
		note(buy, "user", id);
		err = shop_account(buy->shop, id, on_account, ctx);
	}
	if (err)
		fail(buy, err);
}

static void on_session(int err, int id, void *ctx)
{
	const struct purchase *buy = ctx;

	if (!err) {
		note(buy, "session", id);
		err = shop_user(buy->shop, id, on_user, ctx);
	}
	if (err)
		fail(buy, err);
}

void buy_nested(struct purchase *buy, int token)
{
	int err = shop_session(buy->shop, token, on_session, buy);

	if (err)
		fail(buy, err);
}
