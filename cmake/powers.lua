-- Writes src/codec/number_powers.h: lua5.4 cmake/powers.lua > src/codec/number_powers.h
-- Each row is 10^k, k = -292 to 324, as 128 bits with the highest bit set, rounded up: what
-- Schubfach multiplies with. Numbers here are lists of 24-bit limbs, lowest first.
local BASE = 1 << 24

local function times(a, factor)
  local out, carry = {}, 0
  for i = 1, #a do
    local v = a[i] * factor + carry
    out[i], carry = v % BASE, v // BASE
  end
  if carry > 0 then out[#out + 1] = carry end
  return out
end

local function less(a, b)
  if #a ~= #b then return #a < #b end
  for i = #a, 1, -1 do
    if a[i] ~= b[i] then return a[i] < b[i] end
  end
  return false
end

local function minus(a, b)
  local out, borrow = {}, 0
  for i = 1, #a do
    local v = a[i] - (b[i] or 0) - borrow
    borrow = v < 0 and 1 or 0
    out[i] = v % BASE
  end
  while #out > 0 and out[#out] == 0 do out[#out] = nil end
  return out
end

-- The first 128 bits of n / d, rounded up, as two integers.
local function quotient(n, d)
  while not less(n, d) do d = times(d, 2) end
  while less(n, d) do n = times(n, 2) end -- now 1 <= n / d < 2
  local bits = { 0, 0 }
  for i = 1, 128 do
    local word = i <= 64 and 1 or 2
    bits[word] = bits[word] << 1
    if not less(n, d) then
      n = minus(n, d)
      bits[word] = bits[word] | 1
    end
    n = times(n, 2)
  end
  if #n > 0 then
    bits[2] = bits[2] + 1
    if bits[2] == 0 then bits[1] = bits[1] + 1 end
  end
  return bits[1], bits[2]
end

local function power(k)
  local p = { 1 }
  for _ = 1, k do p = times(p, 10) end
  return p
end

print [[
/* Powers of ten from 10^-292 to 10^324: 128 bits each, the highest one set, rounded up. Written by
 * cmake/powers.lua. */
#pragma once
#include <stdint.h>

#define POWERS_FIRST (-292)

/* clang-format off */
static const uint64_t POWERS_OF_TEN[617][2] = {]]
local row = {}
for k = -292, 324 do
  local high, low
  if k < 0 then high, low = quotient({ 1 }, power(-k)) end
  if k >= 0 then high, low = quotient(power(k), { 1 }) end
  row[#row + 1] = ("{0x%016x, 0x%016x},"):format(high, low)
  if #row == 2 or k == 324 then
    print("    " .. table.concat(row, " "))
    row = {}
  end
end
print [[
};
/* clang-format on */]]
