/*
 * ptx.h: what the statements that translate.py writes are made of. Written from the PTX ISA, not from
 * cuda/ptx.cuh: where the two say the same, both are likely to be right.
 */
#ifndef PTX_H
#define PTX_H

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "emulator.h"

#define PTX_PARAMETERS 16

struct ptx_kernel
{
	const char *name;
	void		(*body) (const void *params);
	int			n_params;
	size_t		params_size;
	size_t		shared;			/* bytes of its own variables */
	struct
	{
		size_t		offset;
		size_t		size;
	}			params[PTX_PARAMETERS];
};

extern const ptx_kernel ptx_kernels[];
extern const int ptx_kernel_count;

/* The low bits of a register as another type. */
template <typename T, typename S>
static inline T
as(S from)
{
	T			to{};

	memcpy(&to, &from, std::min(sizeof(to), sizeof(from)));
	return to;
}

/* To a register, which may be wider: by the sign of T. */
template <typename T, typename D>
static inline void
put(D &to, T value)
{
	if constexpr (sizeof(D) == sizeof(T))
		memcpy(&to, &value, sizeof(to));
	else
	{
		static_assert(sizeof(T) < sizeof(D) && std::is_integral_v<T> && std::is_integral_v<D>);
		to = (D) value;
	}
}

template <typename T>
static inline T
load(const unsigned char *at)
{
	T			value;

	memcpy(&value, at, sizeof(value));
	return value;
}

template <typename T>
static inline void
store(unsigned char *at, T value)
{
	memcpy(at, &value, sizeof(value));
}

/* Integers wrap. */
template <typename T>
static inline T
product(T a, T b)
{
	if constexpr (std::is_integral_v<T>)
		return (T) ((uint64_t) a * (uint64_t) b);
	else
		return a * b;
}

template <typename T>
static inline T
shl(T a, uint32_t by)
{
	return by < 8 * sizeof(T) ? (T) ((uint64_t) a << by) : 0;
}

template <typename T>
static inline T
shr(T a, uint32_t by)
{
	return (T) (a >> std::min(by, (uint32_t) (8 * sizeof(T) - 1)) >>
				(by >= 8 * sizeof(T) && std::is_unsigned_v<T> ? 1 : 0));
}

template <typename T>
static inline T
insert_bits(T from, T into, T position, T length)
{
	T			mask = (T) ((length >= (T) (8 * sizeof(T)) ? ~(T) 0 : ((T) 1 << length) - 1) << position);

	return (T) (((from << position) & mask) | (into & ~mask));
}

static inline int32_t
dot_bytes(int32_t a, int32_t b, int32_t c)
{
	for (int i = 0; i < 32; i += 8)
		c += (int32_t) (int8_t) (a >> i) * (int32_t) (int8_t) (b >> i);
	return c;
}

/* A rounded float as an integer, within its range; a float that stays one. */
template <typename T, typename S>
static inline T
saturate(S x)
{
	if constexpr (std::is_floating_point_v<T>)
		return (T) x;
	else
	{
		if (x != x)
			return 0;
		if (x >= (S) std::numeric_limits<T>::max())
			return std::numeric_limits<T>::max();
		return x <= (S) std::numeric_limits<T>::min() ? std::numeric_limits<T>::min() : (T) x;
	}
}

template <typename T, typename S>
static inline T
convert_rint(S x)
{
	return saturate<T>(std::nearbyint(x));
}

template <typename T, typename S>
static inline T
convert_trunc(S x)
{
	return saturate<T>(std::trunc(x));
}

static inline uint32_t
ptx_lane()
{
	const emulator_thread *t = emulator_self;

	return (t->index.x + t->block_dim.x * (t->index.y + t->block_dim.y * t->index.z)) % EMULATOR_WARP;
}

/* What `lane` brought to an exchange. */
template <typename T>
static inline T
ptx_brought(const unsigned char *slots, uint32_t lane)
{
	T			value;

	memcpy(&value, slots + lane * EMULATOR_SLOT, sizeof(value));
	return value;
}

static inline uint32_t
ptx_shuffle(uint32_t value, uint32_t from, bool inside, uint32_t mask, bool *found)
{
	const unsigned char *slots = emulator_exchange(mask, &value, sizeof(value));

	*found = inside;
	from = inside ? from : ptx_lane();
	if ((mask >> from & 1) == 0)
		emulator_abort("a shuffle from lane %u, which is not in the mask %08x", from, mask);
	return ptx_brought<uint32_t>(slots, from);
}

/* c: bits 0 to 4 the clamp, 8 to 12 the mask of segments */
static inline uint32_t
ptx_shuffle_bfly(uint32_t a, uint32_t b, uint32_t c, uint32_t mask, bool *found)
{
	uint32_t	lane = ptx_lane();
	uint32_t	segments = c >> 8 & 31;
	uint32_t	last = (lane & segments) | (c & 31 & ~segments);

	return ptx_shuffle(a, lane ^ (b & 31), (lane ^ (b & 31)) <= last, mask, found);
}

static inline uint32_t
ptx_shuffle_idx(uint32_t a, uint32_t b, uint32_t c, uint32_t mask, bool *found)
{
	uint32_t	lane = ptx_lane();
	uint32_t	segments = c >> 8 & 31;
	uint32_t	last = (lane & segments) | (c & 31 & ~segments);
	uint32_t	from = (lane & segments) | (b & 31 & ~segments);

	return ptx_shuffle(a, from, from <= last, mask, found);
}

static inline void
ptx_sync_warp(uint32_t mask)
{
	emulator_exchange(mask, nullptr, 0);
}

static inline uint32_t
ptx_ballot(bool predicate, uint32_t mask)
{
	const unsigned char *slots = emulator_exchange(mask, &predicate, sizeof(predicate));
	uint32_t	out = 0;

	for (uint32_t lane = 0; lane < EMULATOR_WARP; lane++)
		out |= (uint32_t) ((mask >> lane & 1) != 0 && ptx_brought<bool>(slots, lane)) << lane;
	return out;
}

template <typename T>
static inline T
ptx_atomic_add(unsigned char *at, T value)
{
	T			old = load<T>(at);

	store<T>(at, old + value);
	return old;
}

struct ptx_row
{
	uint16_t	element[8];
};

/* Lane 8 i + r brings the address of row r of matrix i; register i has two elements of matrix i. */
static inline void
ptx_load_matrices(const unsigned char *at, bool transposed, uint32_t *r0, uint32_t *r1,
				  uint32_t *r2, uint32_t *r3)
{
	ptx_row		row = load<ptx_row>(at);
	const unsigned char *slots = emulator_exchange(0xFFFFFFFFu, &row, sizeof(row));
	uint32_t   *to[4] = {r0, r1, r2, r3};
	uint32_t	lane = ptx_lane();

	if ((uintptr_t) at % 16 != 0)
		emulator_abort("ldmatrix from an address that is no multiple of 16");
	for (uint32_t i = 0; i < 4; i++)
	{
		uint32_t	elements[2];

		for (uint32_t j = 0; j < 2; j++)
		{
			uint32_t	major = lane / 4;
			uint32_t	minor = lane % 4 * 2 + j;

			elements[j] = transposed ? ptx_brought<ptx_row>(slots, 8 * i + minor).element[major] :
				ptx_brought<ptx_row>(slots, 8 * i + major).element[minor];
		}
		*to[i] = elements[0] | elements[1] << 16;
	}
}

struct ptx_bf16
{
	uint16_t	bits;

	explicit operator float() const
	{
		return std::bit_cast<float>((uint32_t) bits << 16);
	}
};

template <typename T>
struct ptx_fragments
{
	T			a[8];
	T			b[4];
};

/*
 * mma.m16n8k16, T (_Float16 or ptx_bf16) and f32. Element i of A's fragment in lane l: row l / 4, + 8 for i 2, 3, 6 and 7;
 * column 2 (l % 4) + i % 2, + 8 for i from 4 on. Of B's: row 2 (l % 4) + i % 2, + 8 for i from 2 on;
 * column l / 4. Of C's: row l / 4, + 8 for i from 2 on; column 2 (l % 4) + i % 2.
 */
template <typename T>
static inline void
ptx_multiply(const uint32_t ab[6], float c[4])
{
	const unsigned char *slots = emulator_exchange(0xFFFFFFFFu, ab, 6 * sizeof(*ab));
	float		a[16][16];
	float		b[16][8];

	for (uint32_t l = 0; l < EMULATOR_WARP; l++)
	{
		ptx_fragments<T> f = ptx_brought<ptx_fragments<T>>(slots, l);

		for (uint32_t i = 0; i < 8; i++)
			a[l / 4 + (i / 2 % 2) * 8][l % 4 * 2 + i % 2 + i / 4 * 8] = (float) f.a[i];
		for (uint32_t i = 0; i < 4; i++)
			b[l % 4 * 2 + i % 2 + i / 2 * 8][l / 4] = (float) f.b[i];
	}
	for (uint32_t i = 0; i < 4; i++)
	{
		uint32_t	row = ptx_lane() / 4 + i / 2 * 8;
		uint32_t	column = ptx_lane() % 4 * 2 + i % 2;

		for (uint32_t k = 0; k < 16; k++)
			c[i] += a[row][k] * b[k][column];
	}
}

#endif							/* PTX_H */
